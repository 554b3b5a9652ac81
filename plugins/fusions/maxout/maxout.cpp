// Early fusion by maxout units (I. Goodfellow, D. Warde-Farley, M. Mirza, A. Courville, Y. Bengio, "Maxout
// Networks", ICML 2013), the `early_fusion` of H. Li et al., "Boosting Multi-modal Model Performance with Adaptive
// Gradient Modulation", ICCV 2023:
//
//   x = BN([f_1, ..., f_k])                                           eps 1e-4
//   h = dropout(BN(max_2(W_1 x + b_1)))                               2048 units
//   feature = dropout(BN(max_2(W_2 h + b_2)))                         1024 units
//   z = W feature + b
//
// max_2 is the larger one of each pair of neighbours: unit j = max(row 2j, row 2j+1).
#include <numeric>
#include <tuple>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

class MaxoutLayerImpl : public torch::nn::Module {
 public:
  MaxoutLayerImpl(std::int64_t in, std::int64_t units, double dropout)
      : linear_(register_module("linear", torch::nn::Linear(in, 2 * units))),
        norm_(register_module("norm", torch::nn::BatchNorm1d(units))),
        dropout_(register_module("dropout", torch::nn::Dropout(dropout))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return dropout_(norm_(std::get<0>(linear_(x).unflatten(1, {-1, 2}).max(2))));
  }

 private:
  torch::nn::Linear linear_;
  torch::nn::BatchNorm1d norm_;
  torch::nn::Dropout dropout_;
};
TORCH_MODULE(MaxoutLayer);

class Maxout : public poise::Fusion {
 public:
  explicit Maxout(poise::Config& config)
      : hidden_(config.integer("hidden", 2048, {.min = 1, .max = 65536}, "units of the first layer")),
        features_(config.integer("features", 1024, {.min = 1, .max = 65536},
                                 "units of the second layer, the multi-modal feature")),
        dropout_(config.number("dropout", 0.3, {.min = 0, .max = 0.99},
                               "probability that a unit is dropped in training")) {}

  void build(const poise::FusionSpec& spec) override {
    const auto total = std::accumulate(spec.widths.begin(), spec.widths.end(), std::int64_t{0});
    norm_ = register_module("norm", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(total).eps(1e-4)));
    first_ = register_module("first", MaxoutLayer(total, hidden_, dropout_));
    second_ = register_module("second", MaxoutLayer(hidden_, features_, dropout_));
    head_ = register_module("head", torch::nn::Linear(features_, spec.task.outputs));
    set_role(head_->weight, poise::Role::head);
    set_role(head_->bias, poise::Role::head);
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    const auto feature = second_(first_(norm_(torch::cat(features, 1))));
    return {.logits = head_(feature), .feature = feature};
  }

 private:
  std::int64_t hidden_;
  std::int64_t features_;
  double dropout_;
  torch::nn::BatchNorm1d norm_{nullptr};
  MaxoutLayer first_{nullptr};
  MaxoutLayer second_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace

POISE_FUSION(Maxout, "maxout", "two layers of maxout units on the concatenated features; not additive");
