#include <ATen/ATen.h>

#include "poise/optimizer.h"

namespace poise {

// As torch.nn.utils.clip_grad_norm_: g <- g * min(1, limit / (norm + 1e-6)).
void clip_gradients(const std::vector<torch::Tensor>& parameters, double limit, const torch::Tensor& when) {
  // On the CPU a look at the condition is free, and most steps need no clip.
  if (when.defined() && when.is_cpu() && !when.item<bool>()) return;
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return;
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)), 2);
  at::Tensor factor = (limit / (norm + 1e-6)).clamp_max(1.0);
  if (when.defined()) factor = at::where(when, factor, at::ones_like(factor));
  at::_foreach_mul_(gradients, factor);
}

}  // namespace poise
