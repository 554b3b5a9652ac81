#pragma once

#include <torch/types.h>

#include "poise/batch.h"

namespace poise {

/// What is minimised and how well a prediction does, for the task of the data. Computed in float32 or wider.
/// Implemented by the host; every function is differentiable where that makes sense, and never waits for the
/// device.
class Objective {
 public:
  virtual ~Objective();

  /// Mean loss of the batch (each sample's times its weight), a scalar.
  [[nodiscard]] virtual torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const = 0;
  // Of the following, `logits` may be [..., B, C]; then `targets` and the result begin with the same dimensions.
  /// Loss per sample, [B].
  [[nodiscard]] virtual torch::Tensor losses(const torch::Tensor& logits,
                                             const torch::Tensor& targets) const = 0;
  /// How right each prediction is, [B] in 0 to 1: for classes the probability of the true one.
  [[nodiscard]] virtual torch::Tensor score(const torch::Tensor& logits,
                                            const torch::Tensor& targets) const = 0;
  /// Whether each prediction counts as correct, bool, shaped as `targets`.
  [[nodiscard]] virtual torch::Tensor correct(const torch::Tensor& logits,
                                              const torch::Tensor& targets) const = 0;
};

}  // namespace poise
