#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <poise/config.h>
#include <poise/dataset.h>

namespace arrays {

/// One file per split; that of validation is empty where the split is carved out of train.
using Files = std::array<std::filesystem::path, 3>;

struct Source {
  std::string name;  ///< of the modality
  Files files;
  std::optional<Files> lengths;  ///< given: it is a sequence
};

/// What the table says.
struct Settings {
  poise::Task task;
  std::vector<Source> modalities;  ///< in the order of their names
  Files targets;
  double validation_share = 0;
  std::int64_t validation_seed = 0;

  [[nodiscard]] bool carves_validation() const { return targets[1].empty(); }
};

/// Throws Error (usage) with the place of what is wrong.
Settings read_settings(poise::Config& config);

}  // namespace arrays
