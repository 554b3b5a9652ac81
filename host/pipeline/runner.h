#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace poise {

/// What the command line says about a pipeline.
struct RunOptions {
  std::filesystem::path file;
  std::vector<std::string> settings;  ///< "train.epochs=2"
  std::vector<std::filesystem::path> plugin_folders;
  std::filesystem::path output;  ///< empty: runs/ and the file's stem, in the current folder
  std::string device = "auto";
  int threads = 0;  ///< 0: as many as this process may use
  bool quiet = false;
};

/// Trains every run of the pipeline that is not finished, one after the other, and reports the folder to
/// `out`. A run that fails does not stop the others. Returns the exit status: 0, 1 when a run failed, 130
/// when SIGINT or SIGTERM ended it; the same call then goes on. Throws Error before any training for what is
/// wrong with the pipeline, the data or the folder.
int run_pipeline(const RunOptions& options, std::ostream& out);

}  // namespace poise
