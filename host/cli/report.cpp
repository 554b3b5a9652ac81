// poise report DIR: the table and the page of the runs in a folder.
#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "analysis/report.h"
#include "cli/verbs.h"

namespace poise {

void add_report(CLI::App& app, int& /*status*/) {
  struct Arguments {
    std::filesystem::path folder;
    bool as_json = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* report = app.add_subcommand("report", "Tables and the HTML page of the runs in a folder");
  report->add_option("DIR", arguments->folder, "The output folder of a pipeline: its runs lie below it")
      ->required();
  report->add_flag("--json", arguments->as_json, "For programs; writes no page");
  report->callback([arguments] {
    if (arguments->as_json) {
      report_folder_as_json(arguments->folder, std::cout);
    } else {
      report_folder(arguments->folder, std::cout);
    }
  });
}

}  // namespace poise
