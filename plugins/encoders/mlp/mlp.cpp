// A multi-layer perceptron (D. Rumelhart, G. Hinton, R. Williams, "Learning representations by back-propagating
// errors", Nature 323, 1986) with ReLU and dropout (N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural
// Networks from Overfitting", JMLR 15, 2014):
//
//   h_0 = vec(input),  h_i = dropout(relu(W_i h_{i-1} + b_i)),  i = 1..n
//   feature = W h_n + b
//
// The feature has no ReLU: it is linear in the last hidden layer, and without hidden layers in the input. Weights
// start as N(0, 1/fan_in), biases as 0.
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/plugin.h"

namespace {

class Mlp : public poise::Encoder {
 public:
  explicit Mlp(poise::Config& config)
      : hidden_(config.integers("hidden", {64}, {.min = 1, .max = 65536},
                                "units of each hidden layer; empty: one linear layer")),
        width_(config.integer("width", 64, {.min = 1, .max = 65536}, "columns of the features")),
        dropout_(config.number("dropout", 0.0, {.min = 0, .max = 0.99},
                               "probability that a hidden unit is dropped in training")) {
    if (dropout_ > 0 && hidden_.empty()) {
      config.fail("dropout", "dropout drops hidden units, and hidden is empty: leave dropout out.");
    }
  }

  void build(const poise::Modality& modality) override {
    if (modality.is_sequence) {
      throw poise::Error("mlp reads inputs of one size, and modality '" + modality.name +
                             "' is a sequence, whose lengths it would ignore: choose transformer for it, or "
                             "identity, which gives its mean",
                         poise::Fault::usage);
    }
    const auto& shape = modality.shape;
    auto in = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    for (const std::int64_t units : hidden_) {
      add("hidden" + std::to_string(layers_.size() + 1), in, units);
      in = units;
    }
    add("output", in, width_);
  }

  [[nodiscard]] std::int64_t width() const override { return width_; }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    auto h = input.flatten(1);
    for (std::size_t i = 0; i < hidden_.size(); ++i) {
      h = torch::dropout(layers_[i](h).relu_(), dropout_, is_training());
    }
    return layers_.back()(h);
  }

  [[nodiscard]] bool modes_agree() const override { return dropout_ == 0; }
  [[nodiscard]] bool constant_when_absent() const override { return true; }

 private:
  void add(const std::string& name, std::int64_t in, std::int64_t out) {
    const auto& layer = layers_.emplace_back(register_module(name, torch::nn::Linear(in, out)));
    const torch::NoGradGuard no_grad;
    layer->weight.normal_(0, 1 / std::sqrt(static_cast<double>(in)));
    layer->bias.zero_();
  }

  std::vector<std::int64_t> hidden_;
  std::int64_t width_;
  double dropout_;
  std::vector<torch::nn::Linear> layers_;  // the hidden ones, then the one of the feature
};

}  // namespace

POISE_ENCODER(Mlp, "mlp", "multi-layer perceptron on the flattened input");
