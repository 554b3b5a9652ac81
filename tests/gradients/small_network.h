#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "training/network.h"

/// The networks of tests/oracles/agm_network.py, with dropout as an addition: small enough to be followed by hand,
/// with everything that makes training and evaluation mode differ.
namespace small {

struct Shape {
  int modalities = 2;
  std::string fusion = "concat";  ///< or "mlp"
  bool batch_norm = false;        ///< in the encoders
  bool dropout = false;
  torch::Dtype dtype = torch::kFloat64;
  bool fusion_norm = false;  ///< BatchNorm in "mlp"
  /// No bias whose training gradient is 0 but for rounding, because a BatchNorm takes it away: nothing could be
  /// compared relative to it in float32. As ResNet does: no bias in front of a norm, and features that end in a
  /// nonlinearity.
  bool live_biases_only = false;
};

inline constexpr std::int64_t inputs = 3, hidden = 4, width = 3, classes = 3;

class Encoder : public poise::Encoder {
 public:
  explicit Encoder(Shape shape) : shape_(std::move(shape)) {}

  void build(const poise::Modality& /*modality*/) override {
    first_ = register_module("first", linear(inputs, hidden, shape_.batch_norm));
    if (shape_.batch_norm) norm_ = register_module("norm", torch::nn::BatchNorm1d(hidden));
    if (shape_.dropout) dropout_ = register_module("dropout", torch::nn::Dropout(0.4));
    second_ = register_module("second", torch::nn::Linear(hidden, small::width));
    to(shape_.dtype);
  }
  std::int64_t width() const override { return small::width; }
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    ++calls;
    rows += input.size(0);
    auto x = first_(input);
    if (norm_) x = norm_(x);
    x = at::tanh(x);
    if (dropout_) x = dropout_(x);
    x = second_(x);
    return shape_.live_biases_only && shape_.fusion_norm ? at::tanh(x) : x;
  }
  bool modes_agree() const override { return !shape_.batch_norm && !shape_.dropout; }
  bool constant_when_absent() const override { return true; }

  int calls = 0;          ///< of forward
  std::int64_t rows = 0;  ///< over all calls

 private:
  torch::nn::Linear linear(std::int64_t in, std::int64_t out, bool norm_follows) const {
    return torch::nn::Linear(
        torch::nn::LinearOptions(in, out).bias(!(norm_follows && shape_.live_biases_only)));
  }

  Shape shape_;
  torch::nn::Linear first_{nullptr}, second_{nullptr};
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};

/// "concat": z = sum_m W_m f_m + b. "mlp": z = Linear(tanh([BatchNorm] Linear(f_0 .. f_{k-1}) [Dropout])).
class Fusion : public poise::Fusion {
 public:
  explicit Fusion(Shape shape) : shape_(std::move(shape)) {}

  void build(const poise::FusionSpec& spec) override {
    const auto k = static_cast<std::int64_t>(spec.widths.size());
    if (shape_.fusion == "concat") {
      weights_ = register_module("weight", std::make_shared<torch::nn::Module>());
      for (std::int64_t m = 0; m < k; ++m) {
        set_role(weights_->register_parameter(std::to_string(m), at::randn({classes, small::width})),
                 poise::Role::head, {static_cast<int>(m)});
      }
      bias_ = register_parameter("bias", at::randn({classes}));
      set_role(bias_, poise::Role::head);
    } else {
      hidden_ = register_module(
          "hidden", torch::nn::Linear(torch::nn::LinearOptions(k * small::width, 5)
                                          .bias(!(shape_.fusion_norm && shape_.live_biases_only))));
      if (shape_.fusion_norm) norm_ = register_module("norm", torch::nn::BatchNorm1d(5));
      if (shape_.dropout) dropout_ = register_module("dropout", torch::nn::Dropout(0.3));
      output_ = register_module("output", torch::nn::Linear(5, classes));
    }
    to(shape_.dtype);
  }
  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    if (additive()) {
      auto z = bias_ + share_of(0, features[0]);
      for (std::size_t m = 1; m < features.size(); ++m) z = z + share_of(static_cast<int>(m), features[m]);
      return {z, at::cat(features, 1)};
    }
    auto x = hidden_(at::cat(features, 1));
    if (norm_) x = norm_(x);
    x = at::tanh(x);
    if (dropout_) x = dropout_(x);
    return {output_(x), x};
  }
  bool modes_agree() const override { return !norm_ && !dropout_; }
  bool additive() const override { return shape_.fusion == "concat"; }

 private:
  torch::Tensor share_of(int m, const torch::Tensor& feature) const {
    return at::matmul(feature, weights_->named_parameters()[std::to_string(m)].t());
  }

  Shape shape_;
  std::shared_ptr<torch::nn::Module> weights_;
  torch::Tensor bias_;
  torch::nn::Linear hidden_{nullptr}, output_{nullptr};
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};

/// A network with the encoders in reach, so that tests can run them one by one.
struct Network {
  std::vector<std::shared_ptr<Encoder>> encoders;
  std::shared_ptr<Fusion> fusion;
  std::unique_ptr<poise::FusedNetwork> fused;
};

/// The same seed gives the same weights.
inline Network make(const Shape& shape, std::uint64_t seed) {
  torch::manual_seed(seed);
  Network network;
  std::vector<poise::Modality> modalities;
  std::vector<poise::Loaded<poise::Encoder>> loaded;
  for (int m = 0; m < shape.modalities; ++m) {
    network.encoders.push_back(std::make_shared<Encoder>(shape));
    loaded.push_back({network.encoders.back(), {"small", "0", "test"}});
    modalities.push_back({.name = std::to_string(m), .shape = {inputs}});
  }
  network.fusion = std::make_shared<Fusion>(shape);
  network.fused = std::make_unique<poise::FusedNetwork>(
      modalities, loaded, poise::Loaded<poise::Fusion>{network.fusion, {"small", "0", "test"}},
      poise::Task{.outputs = classes, .labels = {"a", "b", "c"}});
  return network;
}

}  // namespace small
