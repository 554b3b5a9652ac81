#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/fusion.h"
#include "poise/plugin.h"

/// A fusion without fault: z = sum_m f_m W_m^T + b.
class TinyFusion : public poise::Fusion {
 public:
  explicit TinyFusion(poise::Config& /*config*/) {}

  void build(const poise::FusionSpec& spec) override {
    for (std::size_t m = 0; m < spec.widths.size(); ++m) {
      const std::string name = "weight" + std::to_string(m);
      weights_.push_back(register_parameter(name, at::randn({spec.task.outputs, spec.widths[m]})));
      set_role(weights_.back(), poise::Role::head, {static_cast<int>(m)});
    }
    bias_ = register_parameter("bias", at::zeros({spec.task.outputs}));
    set_role(bias_, poise::Role::head);
  }
  [[nodiscard]] bool additive() const override { return true; }
  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    torch::Tensor logits = bias_;
    for (std::size_t m = 0; m < features.size(); ++m) {
      logits = logits + at::matmul(features[m], weights_[m].t());
    }
    return {logits, at::cat(features, 1)};
  }
  torch::Tensor share(int modality, const torch::Tensor& feature) override {
    return at::matmul(feature, weights_[static_cast<std::size_t>(modality)].t()) +
           bias_ / static_cast<double>(weights_.size());
  }

 private:
  std::vector<torch::Tensor> weights_;
  torch::Tensor bias_;
};
