#pragma once

#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/trainer.h"

namespace poise {

/// Auxiliary heads: for each modality m a linear layer of its own from its features [B, width(m)] to logits [B, C],
/// added to the run as "head_NAME" with Role::own. To be called in begin().
std::vector<torch::nn::Linear> add_heads(Trainer& trainer);

/// One linear layer from the features of any modality to logits, added to the run as "head". Throws Error where the
/// encoders' widths differ.
torch::nn::Linear add_shared_head(Trainer& trainer);

}  // namespace poise
