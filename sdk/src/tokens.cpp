#include "poise/tokens.h"

#include <ATen/ATen.h>

namespace poise {

torch::Tensor mean_token(const torch::Tensor& features, const torch::Tensor& lengths) {
  if (features.dim() != 3) return features;
  if (!lengths.defined()) return features.mean(1);
  const auto steps = at::arange(features.size(1), lengths.options());
  const auto real = steps.lt(lengths.unsqueeze(1)).unsqueeze(2);  // [B, T, 1]
  const auto count = lengths.clamp_min(1).unsqueeze(1).to(features.dtype());
  return at::where(real, features, at::zeros({}, features.options())).sum(1) / count;
}

}  // namespace poise
