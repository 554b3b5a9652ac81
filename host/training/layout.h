#pragma once

#include <torch/types.h>

namespace poise {

/// Whether a convolution's weight is laid out channels-last on the CPU: a fixed rule on its shape, so that a
/// resumed run computes the same bits.
bool channels_last(const torch::Tensor& weight);

/// An input of images `[B, C, H, W]` on the CPU, laid out channels-last; any other as it is.
torch::Tensor channels_last_input(const torch::Tensor& input);

}  // namespace poise
