#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/fwd.h>

namespace poise {

/// What is told while a run trains.
struct EpochReport {
  std::int64_t epoch = 0;  ///< from 1
  std::int64_t epochs = 0;
  double train_loss = 0;
  std::pair<std::string, double> validation;               ///< the main metric and its name
  std::vector<std::pair<std::string, double>> modalities;  ///< the same of the masked logits
  double samples_per_second = 0;
};

/// Writes progress to stderr: a line that is overwritten when it is a terminal, else one line an epoch; and what
/// happens, dated, to log.txt in the run's folder, quiet or not. Counts the runs of a pipeline, so that the time
/// left is that of all.
class Progress {
 public:
  Progress(std::int64_t runs, bool quiet);

  /// Before each run that is not skipped. Throws Error when the log cannot be written.
  void begin_run(const std::string& label, const std::filesystem::path& folder);
  /// A step is done: `fraction` of the run.
  void step(double fraction);
  void epoch(const EpochReport& report);
  void end_run();
  /// A sentence of its own line.
  void note(const std::string& sentence);

 private:
  void clear_line();

  std::int64_t runs_;
  bool quiet_;
  bool terminal_;
  std::int64_t started_runs_ = 0;
  std::shared_ptr<spdlog::logger> log_;  ///< of the run in progress
  std::string label_;
  std::string last_;
  double started_seconds_ = 0;
  double run_started_seconds_ = 0;
  double shown_seconds_ = 0;
};

}  // namespace poise
