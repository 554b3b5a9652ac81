#pragma once

#include <torch/types.h>

namespace poise {

/// Tokens [B, T, d] to their mean over each sample's length ([B] int64; undefined: all T), [B, d]. Of no token: zeros.
/// Padding has no influence, whatever it holds, on values and gradients. Features [B, d] stay what they are.
torch::Tensor mean_token(const torch::Tensor& features, const torch::Tensor& lengths);

}  // namespace poise
