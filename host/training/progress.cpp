#include "training/progress.h"

#include <unistd.h>

#include <cmath>
#include <iostream>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>

#include "poise/error.h"
#include "training/clock.h"

namespace poise {
namespace {

std::string duration(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole % 3600 / 60);
}

}  // namespace

Progress::Progress(std::int64_t runs, bool quiet)
    : runs_(runs), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1), started_seconds_(now()) {}

void Progress::clear_line() {
  if (terminal_ && !quiet_) std::cerr << "\r\033[K";
}

void Progress::begin_run(const std::string& label, const std::filesystem::path& folder) {
  const auto file = folder / "log.txt";
  try {
    log_ = std::make_shared<spdlog::logger>(
        "run", std::make_shared<spdlog::sinks::basic_file_sink_st>(file.string()));
  } catch (const spdlog::spdlog_ex& error) {
    throw Error("cannot write " + file.string() + ": " + error.what());
  }
  log_->flush_on(spdlog::level::info);
  log_->info("{} begins", label);
  label_ = label;
  last_.clear();
  ++started_runs_;
  run_started_seconds_ = now();
}

void Progress::step(double fraction) {
  const double time = now();
  if (quiet_ || !terminal_ || time - shown_seconds_ < 0.1 || fraction <= 0) return;
  shown_seconds_ = time;
  const double run = time - run_started_seconds_;
  // The runs to come are taken to be as long as those so far.
  const double done = static_cast<double>(started_runs_ - 1) + fraction;
  const double left = (time - started_seconds_) / done * (static_cast<double>(runs_) - done);
  std::cerr << fmt::format("\r\033[K[{}/{}] {}  {:3.0f} %  {}  run {} left, all {} left", started_runs_,
                           runs_, label_, 100 * fraction, last_, duration(run / fraction * (1 - fraction)),
                           duration(left))
            << std::flush;
}

void Progress::epoch(const EpochReport& report) {
  const auto& [metric, value] = report.validation;
  last_ = fmt::format("epoch {}/{}  loss {:.3f}  validation {}{:.1f} %", report.epoch, report.epochs,
                      report.train_loss, metric == "accuracy" ? "" : metric + " ", 100 * value);
  for (const auto& [modality, score] : report.modalities) {
    last_ += fmt::format("  {} {:.1f} %", modality, 100 * score);
  }
  last_ += fmt::format("  {:.0f} samples/s", report.samples_per_second);
  log_->info(last_);
  if (quiet_ || terminal_) return;
  const double run = now() - run_started_seconds_;
  const double fraction = static_cast<double>(report.epoch) / static_cast<double>(report.epochs);
  std::cerr << fmt::format("[{}/{}] {}  {}  {} left\n", started_runs_, runs_, label_, last_,
                           duration(run / fraction * (1 - fraction)));
}

void Progress::end_run() {
  clear_line();
  if (!quiet_ && terminal_) {
    std::cerr << fmt::format("[{}/{}] {}  {}  {}\n", started_runs_, runs_, label_, last_,
                             duration(now() - run_started_seconds_));
  }
}

void Progress::note(const std::string& sentence) {
  if (log_) log_->info(sentence);
  clear_line();
  std::cerr << sentence << '\n';
}

}  // namespace poise
