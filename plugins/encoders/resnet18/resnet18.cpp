// ResNet18 (K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016) with the
// start of the audio-visual networks of OGM-GE (CVPR 2022) and AGM (ICCV 2023):
//
//   x = max_pool_3x3/2(relu(BN(conv_7x7/2(input))))                 64 channels
//   x = relu(BN(conv_3x3(relu(BN(conv_3x3/s(x))))) + shortcut(x))   twice per stage; 64, 128, 256, 512 channels
//   feature = mean of x over its map and its frames                 512
//
// s is 2 in the first block of stages 2 to 4, else 1; the shortcut is BN(conv_1x1/s(x)) where the shape changes,
// else x. No convolution has a bias. Convolutions start by kaiming_normal over their fan out, BatchNorm with
// weights N(1, 0.02) and biases 0. The T frames of a sample [C, T, H, W] go through as images of one batch.
#include <array>
#include <string>
#include <vector>

#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/intermediate.h"
#include "poise/plugin.h"

namespace {

constexpr std::array<std::int64_t, 4> stages = {64, 128, 256, 512};  // channels

/// A convolution that keeps or halves the size, and its BatchNorm.
class ConvolutionImpl : public torch::nn::Module {
 public:
  ConvolutionImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride)
      : convolution_(register_module(
            "convolution",
            torch::nn::Conv2d(
                torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false)))),
        norm_(register_module("norm", torch::nn::BatchNorm2d(out))) {
    torch::nn::init::kaiming_normal_(convolution_->weight, 0, torch::kFanOut, torch::kReLU);
    torch::nn::init::normal_(norm_->weight, 1, 0.02);
    torch::nn::init::zeros_(norm_->bias);
  }

  torch::Tensor forward(const torch::Tensor& x) { return norm_(convolution_(x)); }

 private:
  torch::nn::Conv2d convolution_;
  torch::nn::BatchNorm2d norm_;
};
TORCH_MODULE(Convolution);

class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : first_(register_module("first", Convolution(in, out, 3, stride))),
        second_(register_module("second", Convolution(out, out, 3, 1))) {
    if (stride != 1 || in != out) shortcut_ = register_module("shortcut", Convolution(in, out, 1, stride));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    const auto y = second_(first_(x).relu_());
    return y.add_(shortcut_ ? shortcut_(x) : x).relu_();
  }

 private:
  Convolution first_;
  Convolution second_;
  Convolution shortcut_{nullptr};
};
TORCH_MODULE(Block);

class ResNet18 : public poise::Encoder, public poise::StagedEncoder {
 public:
  explicit ResNet18(poise::Config& /*config*/) {}

  void build(const poise::Modality& modality) override {
    const auto& shape = modality.shape;
    if (modality.is_sequence || (shape.size() != 3 && shape.size() != 4) || shape[0] < 1 || shape[0] > 3) {
      throw poise::Error(
          "resnet18 reads images [C, H, W] and videos [C, T, H, W] of 1 to 3 channels, and modality '" +
              modality.name + "' is " +
              (modality.is_sequence ? "a sequence, whose lengths it would ignore" : "neither") +
              ": choose another encoder for it",
          poise::Fault::usage);
    }
    stem_ = register_module("stem", Convolution(shape[0], 64, 7, 2));
    std::int64_t in = 64;
    for (const std::int64_t out : stages) {
      for (const bool is_first : {true, false}) {
        const std::int64_t stride = is_first && out != stages.front() ? 2 : 1;
        blocks_.emplace_back(
            register_module("block" + std::to_string(blocks_.size() + 1), Block(in, out, stride)));
        in = out;
      }
    }
  }

  [[nodiscard]] std::int64_t width() const override { return stages.back(); }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    auto x = input;
    for (std::size_t i = 0; i < stages.size(); ++i) x = stage(i, x);
    return pool(x);
  }

  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override {
    return {stages.begin(), stages.end()};
  }

  torch::Tensor stage(std::size_t index, const torch::Tensor& x) override {
    const bool is_video = x.dim() == 5;
    auto y = is_video ? x.transpose(1, 2).flatten(0, 1) : x;  // [B, C, T, H, W] to [B T, C, H, W]
    if (index == 0) y = torch::max_pool2d(stem_(y).relu_(), 3, 2, 1);
    y = blocks_[2 * index + 1](blocks_[2 * index](y));
    return is_video ? y.unflatten(0, {x.size(0), x.size(2)}).transpose(1, 2) : y;
  }

  torch::Tensor pool(const torch::Tensor& x) override {
    return x.dim() == 5 ? x.mean({2, 3, 4}) : x.mean({2, 3});
  }

  [[nodiscard]] bool constant_when_absent() const override { return true; }

 private:
  Convolution stem_{nullptr};
  std::vector<Block> blocks_;
};

}  // namespace

POISE_ENCODER(ResNet18, "resnet18", "ResNet18 for images and videos of 1 to 3 channels, 512 features");
