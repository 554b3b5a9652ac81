#include "tensors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include <ATen/ATen.h>

namespace poise::conformance {

using torch::Tensor;

bool same_bits(const Tensors& a, const Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

bool has_shape(const Tensor& tensor, const std::vector<std::int64_t>& shape) {
  return tensor.defined() && tensor.sizes() == at::IntArrayRef(shape);
}

double difference(const Tensor& actual, const Tensor& expected, double floor) {
  if (!actual.defined() || !expected.defined() || actual.sizes() != expected.sizes()) {
    return std::numeric_limits<double>::infinity();
  }
  if (expected.numel() == 0) return 0;
  const Tensor wanted = expected.detach().to(at::kDouble);
  const Tensor off = actual.detach().to(at::kDouble) - wanted;
  return off.abs().max().item<double>() / std::max(wanted.abs().max().item<double>(), floor);
}

bool is_finite(const Tensor& tensor) {
  return !tensor.defined() || !tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>();
}

Tensors clones(const Tensors& tensors) {
  Tensors result;
  for (const auto& tensor : tensors) result.push_back(tensor.defined() ? tensor.detach().clone() : Tensor());
  return result;
}

Tensors tensors_of(const torch::nn::Module& module) {
  Tensors all = module.parameters();
  for (const auto& buffer : module.buffers()) all.push_back(buffer);
  return all;
}

void perturb(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) {
    const auto inputs = parameter.dim() > 1 ? parameter[0].numel() : 100;
    parameter.add_(at::randn_like(parameter),
                   1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(inputs, 1))));
  }
}

std::string gradient_fault(const torch::nn::Module& module) {
  for (const auto& parameter : module.named_parameters()) {
    if (!parameter.value().requires_grad()) continue;
    const Tensor& gradient = parameter.value().grad();
    if (!gradient.defined()) return "no gradient reaches the parameter " + parameter.key();
    if (!is_finite(gradient)) return "the gradient of the parameter " + parameter.key() + " is not finite";
    if (gradient.abs().max().item<double>() == 0) {
      return "the gradient of the parameter " + parameter.key() + " is zero everywhere";
    }
  }
  return "";
}

Tensor generator_state() {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const std::scoped_lock lock(generator.mutex());
  return generator.get_state();
}

void set_generator_state(const Tensor& state) {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const std::scoped_lock lock(generator.mutex());
  generator.set_state(state);
}

}  // namespace poise::conformance
