#pragma once

#include <cstdint>

#include "poise/config.h"

namespace poise {

/// The epochs in which a method acts: `window = [first, last]`, counted from 0, both inside.
struct EpochWindow {
  std::int64_t first = 0;
  std::int64_t last = 0;

  /// Reads the option `window` of a modulation.
  static EpochWindow read(Config& config, const EpochWindow& default_value);

  [[nodiscard]] bool holds(std::int64_t epoch) const { return epoch >= first && epoch <= last; }
};

}  // namespace poise
