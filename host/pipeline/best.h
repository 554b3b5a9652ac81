#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/cell.h"

namespace poise {

/// The best score that any model can reach (see poise/ceiling.h).
struct Best {
  double all = 0;                                          ///< with every modality of the run
  std::vector<std::pair<std::string, double>> modalities;  ///< with one alone
};

/// Nothing where the dataset does not know.
std::optional<Best> best_of(const Cell& cell);

}  // namespace poise
