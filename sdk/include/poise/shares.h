#pragma once

#include <functional>

#include <torch/types.h>

#include "poise/trainer.h"

namespace poise {

/// Of an additive fusion: for each modality the mean over a split's samples of `each(share, batch)` ([B], of any type)
/// of its share of the logits [B, C]; [k] float64 on the CPU. A pass over the data: outside the training steps.
torch::Tensor mean_over_shares(
    Trainer& trainer, Split split,
    const std::function<torch::Tensor(const torch::Tensor& share, const Batch& batch)>& each);

}  // namespace poise
