// poise check FILE: all that can be known about a pipeline without data.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "pipeline/check.h"

namespace poise {

void add_check(CLI::App& app, int& /*status*/) {
  struct Arguments {
    std::filesystem::path file;
    std::vector<std::string> settings;
    std::vector<std::filesystem::path> plugin_folders;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* check = app.add_subcommand("check", "What each run of a pipeline would do, and whether it can");
  check->add_option("FILE", arguments->file, "The pipeline, a TOML file")->required();
  check->add_option("--set", arguments->settings, "KEY=VALUE: change the pipeline (may be repeated)")
      ->allow_extra_args(false);
  check->add_option("--plugin-dir", arguments->plugin_folders, "Search this folder first (may be repeated)")
      ->check(CLI::ExistingDirectory)
      ->allow_extra_args(false);
  check->callback([arguments] {
    describe(read_pipeline(arguments->file, arguments->settings, arguments->plugin_folders), std::cout);
  });
}

}  // namespace poise
