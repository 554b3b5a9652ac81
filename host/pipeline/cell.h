#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <toml++/toml.h>

#include "pipeline/label.h"
#include "plugins/catalog.h"
#include "training/run.h"

namespace poise {

/// One run of a pipeline, ready to train: its plugins constructed, every key read, its requirements met.
struct Cell {
  Label label;
  std::string alone;  ///< the one modality that is trained, "" when the run is no baseline of that kind
  std::vector<std::string> modalities;  ///< those used, in order
  RunPlugins plugins;
  TrainSettings train{};
  std::uint64_t seed = 0;
  /// The tables that decide the run, with absolute paths.
  toml::table config;
  /// Dotted keys in `config` whose values are paths.
  std::vector<std::string> path_keys;
  /// Per modality the run that trains it alone, where the modulation needs teachers: to build them from.
  std::vector<Cell> teachers;

  /// Every plugin once, by kind and name: ("encoder", lenet).
  [[nodiscard]] std::vector<std::pair<std::string, PluginName>> used_plugins() const;
};

/// Makes a run from the tables dataset, encoder, fusion, modulation, train and the seed. `axes` and `alone`
/// are for its label. Throws Error: (usage) with the place of what is wrong; (plugin) for a plugin that is
/// refused. Reads no data.
Cell make_cell(toml::table table, const std::vector<std::string>& axes, const std::string& alone,
               const Catalog& catalog);

/// Changes a run's tables so that `modality` is trained alone, jointly, with the same fusion.
void keep_alone(toml::table& table, const std::string& modality);

}  // namespace poise
