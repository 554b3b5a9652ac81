#include "settings.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace arrays {
namespace {

poise::Task read_task(poise::Config& config) {
  poise::Task task;
  const auto kind = config.choice("task", "classification", {"classification", "multi_label", "regression"},
                                  "what the targets are: one class, any of several labels, or numbers");
  if (kind == "multi_label") task.kind = poise::TaskKind::multi_label;
  if (kind == "regression") task.kind = poise::TaskKind::regression;
  task.outputs =
      config.integer("outputs", 0, {.min = 0, .max = 1000000},
                     "how many classes, labels or numbers; 0: as many as there are names in labels");
  task.labels = config.texts("labels", {}, "names of the outputs, for reports");
  if (config.is_recording()) return task;
  const auto names = static_cast<std::int64_t>(task.labels.size());
  if (task.outputs == 0) task.outputs = names;
  if (task.outputs == 0) {
    config.fail("outputs",
                "outputs (how many classes, labels or numbers there are) or labels must be given.");
  }
  if (names != 0 && names != task.outputs) {
    config.fail("labels", "labels has " + std::to_string(names) + " names, but outputs is " +
                              std::to_string(task.outputs) + ".");
  }
  if (task.kind == poise::TaskKind::classification && task.outputs < 2) {
    config.fail("outputs", "a classification needs at least 2 classes, but outputs is 1.");
  }
  return task;
}

/// The files of a table with a key per split. `what` they hold is for their meaning.
Files read_files(poise::Config& table, const std::string& what) {
  Files files = {table.path("train", poise::required, what + " of the training split: a .npy file"),
                 table.path("validation", "",
                            what + " of the validation split; all or none of these files are given, and "
                                   "without them the split is carved out of train"),
                 table.path("test", poise::required, what + " of the test split")};
  for (std::size_t s = 1; s < files.size(); ++s) {
    for (std::size_t other = 0; other < s; ++other) {
      if (files[s].empty() || files[s] != files[other]) continue;
      const std::string split = poise::name(static_cast<poise::Split>(s));
      table.fail(split, split + " and " + poise::name(static_cast<poise::Split>(other)) +
                            " are the same file, but splits must share no sample.");
    }
  }
  return files;
}

/// Either all tables name a file for validation or none does.
void check_validation(const poise::Config& table, const std::string& name, const Files& files,
                      const Files& targets) {
  if (files[1].empty() == targets[1].empty()) return;
  const std::string with = files[1].empty() ? "targets" : name;
  const std::string without = files[1].empty() ? name : "targets";
  table.fail("validation", "[" + with + "] names a file for validation, but [" + without +
                               "] does not: name one in all tables, or in none to carve it out of train.");
}

/// The names are keys of a pipeline, too ([encoder.NAME]), and stand in messages and tables.
void check_name(const poise::Config& modalities, const std::string& name) {
  const bool is_plain = std::all_of(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
  if (is_plain && !name.empty()) return;
  modalities.fail(name,
                  "the modality's name '" + name + "' must be of letters, digits, _ and - and not be empty.");
}

std::vector<Source> read_modalities(poise::Config& config, const Files& targets) {
  poise::Config tables = config.table("modality");
  // Without a pipeline, NAME stands for the names that a user chooses.
  const auto names = config.is_recording() ? std::vector<std::string>{"NAME"} : tables.keys();
  if (names.empty()) {
    config.fail("modality",
                "there is no modality: add a table [dataset.modality.NAME] with train and test for each.");
  }
  std::vector<Source> sources;
  for (const auto& name : names) {
    check_name(tables, name);
    poise::Config table = tables.table(name);
    Source source{name, read_files(table, "inputs"), {}};
    check_validation(table, "modality." + name, source.files, targets);
    poise::Config lengths = table.table("lengths");
    if (config.is_recording() || table.has("lengths")) {
      source.lengths = read_files(lengths, "lengths of the sequences");
      check_validation(lengths, "modality." + name + ".lengths", *source.lengths, targets);
    }
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace

Settings read_settings(poise::Config& config) {
  Settings settings;
  settings.task = read_task(config);
  poise::Config targets = config.table("targets");
  settings.targets = read_files(targets, "targets");
  settings.modalities = read_modalities(config, settings.targets);
  settings.validation_share =
      config.number("validation_share", 0.1, {.min = 0.001, .max = 0.9},
                    "share of train that becomes the validation split where no files are given for it");
  settings.validation_seed = config.integer("validation_seed", 0, {.min = 0, .max = 4294967295.0},
                                            "decides which samples of train become validation");
  for (const char* const key : {"validation_share", "validation_seed"}) {
    if (settings.carves_validation() || !config.has(key)) continue;
    config.fail(key, std::string(key) + " has no effect where validation has files: leave it out.");
  }
  return settings;
}

}  // namespace arrays
