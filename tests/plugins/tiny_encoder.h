#pragma once

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "poise/encoder.h"
#include "poise/plugin.h"

/// An encoder without fault: tanh(W x + b) of the flattened input, of a sequence of the mean over its length.
class TinyEncoder : public poise::Encoder {
 public:
  explicit TinyEncoder(poise::Config& /*config*/) {}

  void build(const poise::Modality& modality) override {
    is_sequence_ = modality.is_sequence;
    std::int64_t inputs = 1;
    for (const auto size : modality.shape) inputs *= size;
    if (is_sequence_) inputs /= modality.shape.front();
    linear_ = register_module("linear", torch::nn::Linear(inputs, 4));
  }
  [[nodiscard]] std::int64_t width() const override { return 4; }
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override {
    torch::Tensor x = input;
    if (is_sequence_ && lengths.defined()) {
      const torch::Tensor step = at::arange(input.size(1), at::kLong).unsqueeze(0);
      const torch::Tensor padding = step.ge(lengths.unsqueeze(1)).unsqueeze(2);
      x = input.masked_fill(padding, 0.0).sum(1) / lengths.unsqueeze(1);
    } else if (is_sequence_) {
      x = input.mean(1);
    }
    return at::tanh(linear_(x.flatten(1)));
  }

 private:
  bool is_sequence_ = false;
  torch::nn::Linear linear_{nullptr};
};
