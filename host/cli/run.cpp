// poise run FILE: trains, evaluates and reports every run of a pipeline.
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "pipeline/runner.h"

namespace poise {

void add_run(CLI::App& app, int& status) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* run = app.add_subcommand("run", "Trains, evaluates and reports every run of a pipeline");
  run->add_option("FILE", options->file, "The pipeline, a TOML file")->required();
  run->add_option("--set", options->settings, "KEY=VALUE: change the pipeline (may be repeated)")
      ->allow_extra_args(false);
  run->add_option("--output", options->output, "Folder of the runs (default: runs/ and the file's stem)");
  run->add_option("--device", options->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  run->add_option("--threads", options->threads, "Threads (default: as many as this process may use)")
      ->check(CLI::Range(1, 4096));
  run->add_option("--plugin-dir", options->plugin_folders, "Search this folder first (may be repeated)")
      ->check(CLI::ExistingDirectory)
      ->allow_extra_args(false);
  run->add_flag("--quiet", options->quiet, "No progress");
  run->callback([options, &status] { status = run_pipeline(*options, std::cout); });
}

}  // namespace poise
