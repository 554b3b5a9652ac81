#include "pipeline/runner.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ostream>
#include <utility>

#include <ATen/Parallel.h>

#include "analysis/report.h"
#include "pipeline/best.h"
#include "pipeline/folder_lock.h"
#include "pipeline/identity.h"
#include "pipeline/pipeline.h"
#include "pipeline/toml_text.h"
#include "poise/error.h"
#include "training/device.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// A cell with what is written about it, and where.
struct Job {
  Cell cell;
  toml::table provenance;
  nlohmann::json result;  ///< the part of result.json that is known before
  fs::path folder;
  std::vector<fs::path> teachers;  ///< folders of the runs that must be finished before
};

int usable_threads() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

/// "agm-alpha-1.5-seed-0-1a2b3c4d": a label as a folder's name, and the beginning of the run's hash.
std::string folder_name(const std::string& label, const std::string& hash) {
  const std::string allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
  std::string name;
  for (const char c : label) {
    if (allowed.find(c) != std::string::npos) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  return name.substr(0, 100) + "-" + hash.substr(0, 8);
}

/// Makes the output folder and sees that it can be written into, before anything is trained.
void make_output(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) {
    throw Error("cannot write into the folder " + folder.string() + ": " + error.message() +
                    ". Choose another with --output DIR.",
                Fault::usage);
  }
}

/// As the splits are written in result.json; null where the dataset does not know, or knows another metric.
nlohmann::json best_json(const Cell& cell) {
  const auto task = cell.plugins.dataset.call([](const Dataset& dataset) { return dataset.task(); });
  const auto best = best_of(cell);
  if (!best || task.kind == TaskKind::multi_label) return nullptr;
  auto modalities = nlohmann::json::object();
  for (const auto& [modality, score] : best->modalities) modalities[modality] = score;
  return {{"score", best->all}, {"modality_score", std::move(modalities)}};
}

nlohmann::json known_result(const Cell& cell, const RunIdentity& identity, const std::string& title) {
  return {{"label", cell.label.run},
          {"group", cell.label.group},
          {"condition", cell.label.condition},
          {"modulation", cell.plugins.modulation.name.name},
          {"fusion", cell.plugins.fusion.name.name},
          {"seed", cell.seed},
          {"hash", identity.hash},
          {"title", title},
          {"modalities", cell.modalities},
          {"alone", cell.alone},
          {"best", best_json(cell)},
          {"provenance", to_json(identity.provenance)}};
}

/// The first SIGINT or SIGTERM ends the run after its step, a second one ends the process.
void stop_after_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { request_stop(); };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

class Runner {
 public:
  Runner(const RunOptions& options, Pipeline pipeline) : options_(options) {
    const int threads = options.threads > 0 ? options.threads : usable_threads();
    device_ = resolve_device(options.device);
    at::set_num_threads(threads);
    output_ = options.output.empty() ? "runs" / options.file.stem() : options.output;
    Identifier identifier(device_, threads);
    for (auto& cell : pipeline.cells) {
      RunIdentity identity = identifier.identify(cell);
      const fs::path folder = output_ / folder_name(cell.label.run, identity.hash);
      nlohmann::json result = known_result(cell, identity, pipeline.title);
      std::vector<fs::path> teachers;
      for (std::size_t m = 0; m < cell.teachers.size(); ++m) {
        teachers.push_back(output_ / folder_name(cell.teachers[m].label.run, identity.teachers.at(m)));
      }
      jobs_.push_back(
          {std::move(cell), std::move(identity.provenance), std::move(result), folder, std::move(teachers)});
    }
    identifier.save();
  }

  int run(std::ostream& out) {
    make_output(output_);
    stop_after_signals();
    const auto finished =
        std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return is_finished(job.folder); });
    Progress progress(static_cast<std::int64_t>(jobs_.size()) - finished, options_.quiet);
    if (finished > 0 && !options_.quiet) {
      progress.note(std::to_string(finished) + " of " + std::to_string(jobs_.size()) + " runs are finished.");
    }
    int failed = 0;
    for (auto& job : jobs_) {
      if (is_finished(job.folder)) continue;
      const Outcome outcome = run_one(job, progress, failed);
      if (outcome == Outcome::interrupted) {
        progress.note("Interrupted. The same command goes on from here.");
        return 130;
      }
    }
    if (std::any_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return is_finished(job.folder); })) {
      report_folder(output_, out);
    }
    return failed > 0 ? 1 : 0;
  }

 private:
  Outcome run_one(Job& job, Progress& progress, int& failed) {
    for (const auto& folder : job.teachers) {
      const auto teacher =
          std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& other) { return other.folder == folder; });
      if (teacher == jobs_.end() || is_finished(folder)) continue;
      if (run_one(*teacher, progress, failed) == Outcome::interrupted) return Outcome::interrupted;
    }
    fs::create_directories(job.folder);
    const FolderLock lock(job.folder);
    if (is_finished(job.folder)) return Outcome::finished;  // by the process that held the lock
    // Its data are given back when the run is over.
    const RunPlugins plugins = std::move(job.cell.plugins);
    try {
      write_file(job.folder / "config.toml", toml_file(job.cell.config));
      write_file(job.folder / "provenance.toml", toml_file(job.provenance));
      RunRequest request{job.folder, job.cell.label.run, job.cell.train, job.cell.seed, device_, job.result,
                         {}};
      for (std::size_t m = 0; m < job.teachers.size(); ++m) {
        if (!is_finished(job.teachers[m]))
          throw Error("its teacher, " + job.cell.teachers[m].label.run + ", failed.");
        request.teachers.push_back(
            {job.teachers[m], std::make_shared<RunPlugins>(std::move(job.cell.teachers[m].plugins))});
      }
      return train(request, plugins, progress);
    } catch (const std::exception& error) {
      ++failed;
      progress.note("poise: run '" + job.cell.label.run + "' failed: " + first_line(error.what()));
      return stop_requested() ? Outcome::interrupted : Outcome::finished;
    }
  }

  const RunOptions& options_;
  std::string device_;
  fs::path output_;
  std::vector<Job> jobs_;
};

}  // namespace

int run_pipeline(const RunOptions& options, std::ostream& out) {
  return Runner(options, read_pipeline(options.file, options.settings, options.plugin_folders)).run(out);
}

}  // namespace poise
