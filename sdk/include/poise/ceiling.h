#pragma once

#include "poise/subset.h"

namespace poise {

/// Ability of a dataset, beside poise::Dataset, that knows how its samples are made: what is the best that any
/// model can reach on them. Shown beside results, so that they can be judged.
class Ceiling {
 public:
  virtual ~Ceiling();

  /// The best expected accuracy (classification: share of samples; multi-label: share of samples and labels;
  /// regression: R2, mean over outputs) for a model that sees these modalities of Dataset::modalities().
  [[nodiscard]] virtual double best(Subset modalities) const = 0;
};

}  // namespace poise
