#include "gates_fusion.h"

#include <string>

#include <ATen/ATen.h>

namespace poise::reference {

using torch::Tensor;

namespace {

constexpr std::size_t gated_stage = 1;
constexpr std::int64_t units = 4;

}  // namespace

void GatesFusion::build(const FusionSpec& spec) {
  std::vector<int> all;
  for (std::size_t m = 0; m < spec.widths.size(); ++m) all.push_back(static_cast<int>(m));
  for (std::size_t m = 0; m < spec.widths.size(); ++m) {
    const std::string& name = spec.modalities[m];
    const std::vector<int> one{static_cast<int>(m)};
    const std::int64_t channels = spec.stage_channels.at(m).at(gated_stage);
    squeeze_.push_back(register_parameter("squeeze_" + name, at::randn({units, channels}, at::kFloat) * 0.5));
    set_role(squeeze_.back(), Role::bypass, all);
    excite_.push_back(register_parameter("excite_" + name, at::randn({channels, units}, at::kFloat) * 0.5));
    set_role(excite_.back(), Role::bypass, one);
    weights_.push_back(register_parameter("weight_" + name,
                                          at::randn({spec.task.outputs, spec.widths[m]}, at::kFloat) * 0.5));
    set_role(weights_.back(), Role::head, one);
    averages_.push_back(register_buffer("average_" + name, at::zeros({channels}, at::kFloat)));
  }
  bias_ = register_parameter("bias", at::randn({spec.task.outputs}, at::kFloat) * 0.1);
  set_role(bias_, Role::head);
  steps_ = register_buffer("steps", at::zeros({}, at::kLong));
}

std::vector<Tensor> GatesFusion::encode(const std::vector<StagedEncoder*>& encoders,
                                        const std::vector<Tensor>& inputs) {
  std::vector<Tensor> x = inputs;
  Tensor j;
  for (std::size_t m = 0; m < x.size(); ++m) {
    for (std::size_t i = 0; i <= gated_stage; ++i) x[m] = encoders[m]->stage(i, x[m]);
    const Tensor part = at::matmul(x[m].flatten(2).mean(2), squeeze_[m].t());
    j = j.defined() ? j + part : part;
  }
  j = at::tanh(j);
  if (is_training()) steps_.add_(1);
  for (std::size_t m = 0; m < x.size(); ++m) {
    const Tensor gate = switched(2 * at::sigmoid(at::matmul(j, excite_[m].t())), m);
    x[m] = x[m] * gate.unsqueeze(-1).unsqueeze(-1);
    const std::size_t stages = encoders[m]->stage_channels().size();
    for (std::size_t i = gated_stage + 1; i < stages; ++i) x[m] = encoders[m]->stage(i, x[m]);
    x[m] = encoders[m]->pool(x[m]);
  }
  return x;
}

Tensor GatesFusion::switched(const Tensor& gate, std::size_t m) {
  if (!is_training()) return gate;
  Tensor& average = averages_[m];
  {
    const at::NoGradGuard no_grad;
    average.add_((gate.mean(0) - average) / steps_);
  }
  if (!replaced_.defined()) return gate;
  return at::where(replaced_[static_cast<std::int64_t>(m)], average, gate);
}

FusionOutput GatesFusion::forward(const std::vector<Tensor>& features,
                                  const std::vector<Tensor>& /*lengths*/) {
  Tensor z = bias_;
  for (std::size_t m = 0; m < features.size(); ++m) z = z + at::matmul(features[m], weights_[m].t());
  return {z, at::cat(features, 1)};
}

}  // namespace poise::reference
