// ResNet18 (K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016) with the
// start of the audio-visual networks of OGM-GE (CVPR 2022) and AGM (ICCV 2023):
//
//   x = max_pool_3x3/2(relu(BN(conv_7x7/2(input))))                 64 channels
//   x = relu(BN(conv_3x3(relu(BN(conv_3x3/s(x))))) + shortcut(x))   twice per stage; 64, 128, 256, 512 channels
//   feature = mean of x over its map                                512
//
// s is 2 in the first block of stages 2 to 4, else 1; the shortcut is BN(conv_1x1/s(x)) where the shape changes,
// else x. No convolution has a bias. Convolutions start by kaiming_normal over their fan out, BatchNorm with
// weights N(1, 0.02) and biases 0.
#include <string>
#include <vector>

#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/plugin.h"

namespace {

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

class ResNet18 : public poise::Encoder {
 public:
  explicit ResNet18(poise::Config& /*config*/) {}

  void build(const poise::Modality& modality) override {
    const auto& shape = modality.shape;
    if (shape.size() != 3 || (shape[0] != 1 && shape[0] != 3)) {
      throw poise::Error("resnet18 reads images [C, H, W] of 1 or 3 channels, and modality '" +
                             modality.name + "' is not one: choose another encoder for it",
                         poise::Fault::usage);
    }
    stem_ = register_module("stem", Convolution(shape[0], 64, 7, 2));
    std::int64_t in = 64;
    for (const std::int64_t out : {64, 128, 256, 512}) {
      for (const bool is_first : {true, false}) {
        const std::int64_t stride = is_first && out != 64 ? 2 : 1;
        blocks_.emplace_back(
            register_module("block" + std::to_string(blocks_.size() + 1), Block(in, out, stride)));
        in = out;
      }
    }
  }

  [[nodiscard]] std::int64_t width() const override { return 512; }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    auto x = torch::max_pool2d(stem_(input).relu_(), 3, 2, 1);
    for (auto& block : blocks_) x = block(x);
    return x.mean({2, 3});
  }

  [[nodiscard]] bool constant_when_absent() const override { return true; }

 private:
  Convolution stem_{nullptr};
  std::vector<Block> blocks_;
};

}  // namespace

POISE_ENCODER(ResNet18, "resnet18", "ResNet18 for images of 1 or 3 channels, 512 features");
