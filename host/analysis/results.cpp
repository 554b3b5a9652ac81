#include "analysis/results.h"

#include <algorithm>
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "poise/error.h"
#include "poise/files.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// JSON has no NaN: it is written as null.
double number(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

std::map<std::string, double> numbers(const json& object) {
  std::map<std::string, double> result;
  for (const auto& [key, value] : object.get<std::map<std::string, json>>()) result[key] = number(value);
  return result;
}

SplitResult split_result(const json& object, const std::string& metric) {
  return {number(object.at(metric)), number(object.at("loss")), numbers(object.at("modality_" + metric))};
}

Cost cost(const json& object) {
  return {numbers(object.at("encoder_passes_per_step")), number(object.at("fusion_passes_per_step")),
          number(object.at("backward_passes_per_step")),
          number(object.value("extra_passes_per_epoch", json(0))), number(object.at("total_seconds"))};
}

RunResult run_result(const json& object) {
  RunResult run;
  object.at("label").get_to(run.label);
  object.at("group").get_to(run.group);
  run.condition = object.value("condition", "");
  object.at("title").get_to(run.title);
  object.at("modulation").get_to(run.modulation);
  object.at("fusion").get_to(run.fusion);
  object.at("alone").get_to(run.alone);
  object.at("modalities").get_to(run.modalities);
  object.at("seed").get_to(run.seed);
  object.at("hash").get_to(run.hash);
  object.at("metric").get_to(run.metric);
  run.validation = split_result(object.at("validation"), run.metric);
  run.test = split_result(object.at("test"), run.metric);
  run.best = object.value("best", json());
  run.cost = cost(object.at("cost"));
  run.provenance = object.at("provenance");
  return run;
}

/// What a JSON error says, without the library's own number of it.
std::string reason(const json::exception& error) {
  const std::string text = error.what();
  const auto bracket = text.find("] ");
  return bracket == std::string::npos ? text : text.substr(bracket + 2);
}

/// The epochs of a run, for its curves. A line that cannot be read costs that line only.
json read_epochs(const fs::path& file, const std::string& name, std::vector<std::string>& notes) {
  json epochs = json::array();
  std::istringstream lines(read_file(file));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    json epoch = json::parse(line, nullptr, false);
    if (epoch.is_object() && epoch.value("epoch", json()).is_number()) {
      epochs.push_back(std::move(epoch));
    } else {
      notes.push_back(name + "/metrics.jsonl, line " + std::to_string(number) +
                      ", is damaged: the curves of this run miss that epoch.");
    }
  }
  return epochs;
}

void read_run(const fs::path& folder, Results& results) {
  const std::string name = folder.filename().string();
  try {
    RunResult run = run_result(json::parse(read_file(folder / "result.json")));
    run.folder = name;
    try {
      run.epochs = read_epochs(folder / "metrics.jsonl", name, results.notes);
    } catch (const Error& error) {
      run.epochs = json::array();
      results.notes.push_back(name + " has no curves: " + error.what() + ".");
    }
    results.runs.push_back(std::move(run));
  } catch (const json::exception& error) {
    results.notes.push_back(name + " is left out, its result.json is damaged: " + reason(error) +
                            ". Remove its folder, and poise run trains it again.");
  } catch (const Error& error) {
    results.notes.push_back(name + " is left out: " + error.what() + ".");
  }
}

void keep_newest_of_each_seed(const fs::path& folder, Results& results) {
  std::map<std::pair<std::string, std::int64_t>, RunResult> newest;
  const auto time = [&](const RunResult& run) {
    std::error_code ignored;
    return fs::last_write_time(folder / run.folder / "result.json", ignored);
  };
  for (RunResult& run : results.runs) {
    const auto key = std::pair(run.group, run.seed);
    const auto [kept, inserted] = newest.try_emplace(key, run);
    if (inserted) continue;
    const bool newer = time(run) > time(kept->second);
    const std::string& older = newer ? kept->second.folder : run.folder;
    results.notes.push_back(older + " is left out: a newer run of " + run.label + " is there.");
    if (newer) kept->second = std::move(run);
  }
  results.runs.clear();
  for (auto& [key, run] : newest) results.runs.push_back(std::move(run));
}

}  // namespace

Results read_results(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> folders;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->is_directory()) folders.push_back(entry->path());
  }
  if (failed)
    throw Error("cannot read the folder " + folder.string() + ": " + failed.message(), Fault::usage);
  std::sort(folders.begin(), folders.end());

  Results results;
  for (const fs::path& run : folders) {
    if (fs::exists(run / "result.json")) {
      read_run(run, results);
    } else if (fs::exists(run / "config.toml") || fs::exists(run / "metrics.jsonl")) {
      results.notes.push_back(run.filename().string() + " is left out: it is not finished.");
    }
  }
  keep_newest_of_each_seed(folder, results);
  return results;
}

}  // namespace poise
