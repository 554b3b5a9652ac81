// A small convolutional network for images [C, H, W] of any size, without BatchNorm and dropout, after
// Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
// Proc. IEEE 86(11), 1998:
//
//   x_0 = input,  x_i = relu(max_pool_2x2(conv_i(x_{i-1}))),  i = 1..n
//   feature = relu(W vec(x_n) + b)
//
// conv_1 is 5x5, the others 3x3. Of an image whose shorter side is 64 or more, conv_1 has stride 2; all else has
// stride 1. n is such that the shorter side of x_n is 4 to 7. Weights start as N(0, 1/fan_in), biases as 0.
// Stage i gives x_i.
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/intermediate.h"
#include "poise/plugin.h"

namespace {

constexpr std::int64_t smallest_side = 16;
constexpr std::int64_t large_side = 64;  // at stride 1 the first layer would be four fifths of the work
constexpr std::int64_t smallest_map = 4;

/// Gain 1, calmer here than Kaiming's sqrt(2): nothing normalises the layers (see README.md).
template <class Layer>
void initialise(Layer& layer) {
  const torch::NoGradGuard no_grad;
  const auto fan_in = static_cast<double>(layer->weight[0].numel());
  layer->weight.normal_(0, 1 / std::sqrt(fan_in));
  layer->bias.zero_();
}

class LeNet : public poise::Encoder, public poise::StagedEncoder {
 public:
  explicit LeNet(poise::Config& config)
      : width_(config.integer("width", 64, {.min = 1, .max = 65536}, "columns of the features")),
        channels_(config.integer("channels", 8, {.min = 1, .max = 1024},
                                 "filters of the first convolution; the second has twice, later ones four "
                                 "times as many")) {}

  void build(const poise::Modality& modality) override {
    const auto& shape = modality.shape;
    if (modality.is_sequence || shape.size() != 3 || std::min(shape[1], shape[2]) < smallest_side) {
      throw poise::Error("lenet reads images [C, H, W] of at least 16x16, and modality '" + modality.name +
                             "' is not one: choose another encoder for it",
                         poise::Fault::usage);
    }
    auto [C, H, W] = std::tuple(shape[0], shape[1], shape[2]);
    const std::int64_t first_stride = std::min(H, W) >= large_side ? 2 : 1;
    H = (H + first_stride - 1) / first_stride;
    W = (W + first_stride - 1) / first_stride;
    while (std::min(H, W) >= 2 * smallest_map) {
      const std::size_t i = convolutions_.size();
      const std::int64_t filters = channels_ << std::min<std::size_t>(i, 2);
      const auto options = i == 0 ? torch::nn::Conv2dOptions(C, filters, 5).stride(first_stride).padding(2)
                                  : torch::nn::Conv2dOptions(C, filters, 3).padding(1);
      convolutions_.emplace_back(
          register_module("convolution" + std::to_string(i + 1), torch::nn::Conv2d(options)));
      initialise(convolutions_.back());
      C = filters;
      H /= 2;
      W /= 2;
    }
    linear_ = register_module("linear", torch::nn::Linear(C * H * W, width_));
    initialise(linear_);
  }

  [[nodiscard]] std::int64_t width() const override { return width_; }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    auto x = input;
    for (std::size_t i = 0; i < convolutions_.size(); ++i) x = stage(i, x);
    return pool(x);
  }

  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override {
    std::vector<std::int64_t> channels;
    for (const auto& convolution : convolutions_) channels.push_back(convolution->weight.size(0));
    return channels;
  }

  torch::Tensor stage(std::size_t index, const torch::Tensor& x) override {
    // The maximum commutes with ReLU, which then has a quarter of the work.
    return torch::max_pool2d(convolutions_[index](x), 2).relu_();
  }

  torch::Tensor pool(const torch::Tensor& x) override { return linear_(x.flatten(1)).relu_(); }

  [[nodiscard]] bool modes_agree() const override { return true; }
  [[nodiscard]] bool constant_when_absent() const override { return true; }

 private:
  std::int64_t width_;
  std::int64_t channels_;
  std::vector<torch::nn::Conv2d> convolutions_;
  torch::nn::Linear linear_{nullptr};
};

}  // namespace

POISE_ENCODER(LeNet, "lenet", "small convolutional network for images, without BatchNorm and dropout");
