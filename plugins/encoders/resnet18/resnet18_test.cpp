#include <torch/nn/modules/linear.h>

#include "poise/conformance_test.h"
#include "poise/testing_encoder.h"

namespace {

using namespace poise::testing;
using Shape = std::vector<std::int64_t>;

std::shared_ptr<poise::Encoder> encoder_of(const Shape& shape) {
  torch::manual_seed(2);
  auto encoder = make<poise::Encoder>();
  encoder->build({.name = "image", .shape = shape});
  return encoder;
}

class ResNet18OnImages : public ::testing::TestWithParam<Shape> {};

TEST_P(ResNet18OnImages, HasItsWidthAndAGradientForEveryParameter) {
  expect_width_and_gradients("", GetParam(), 512);
}
TEST_P(ResNet18OnImages, EncodesRowsIndependently) { expect_independent_rows("", GetParam()); }
TEST_P(ResNet18OnImages, SaysThatItsModesDiffer) { expect_modes("", GetParam(), false); }
TEST_P(ResNet18OnImages, IsConstantWhenAbsent) { expect_constant_when_absent("", GetParam()); }
TEST_P(ResNet18OnImages, RunsInStages) { expect_stages("", GetParam()); }

// Images, and videos of 3 frames.
INSTANTIATE_TEST_SUITE_P(Shapes, ResNet18OnImages,
                         ::testing::Values(Shape{1, 28, 28}, Shape{3, 41, 30}, Shape{2, 3, 33, 20}));

TEST(ResNet18, HasThePublishedNumberOfParameters) {
  const auto image = count_parameters(*encoder_of({1, 28, 28}));
  const auto audio = count_parameters(*encoder_of({1, 112, 112}));
  const auto video = count_parameters(*encoder_of({3, 1, 224, 224}));
  EXPECT_EQ(image, 11170240);
  EXPECT_EQ(video, 11176512);
  EXPECT_EQ(audio + image + count_parameters(*torch::nn::Linear(1024, 10)), 22350730);  // AV-MNIST, late
  EXPECT_EQ(audio + video + count_parameters(*torch::nn::Linear(1024, 6)), 22352902);   // CREMA-D, late
}

TEST(ResNet18, StagesEndAsPublished) {
  const auto encoder = encoder_of({3, 28, 28});
  const auto* staged = dynamic_cast<const poise::StagedEncoder*>(encoder.get());
  ASSERT_NE(staged, nullptr);
  EXPECT_EQ(staged->stage_channels(), (Shape{64, 128, 256, 512}));
}

/// Frame by frame in one batch of images, and the mean over each video's frames.
TEST(ResNet18, AveragesOverFrames) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained("", {3, 4, 32, 24});
  encoder->to(torch::kFloat64);
  const auto video = samples({3, 4, 32, 24}, 5).to(torch::kFloat64);
  std::vector<torch::Tensor> frames;
  for (std::int64_t b = 0; b < 5; ++b) {
    for (std::int64_t t = 0; t < 4; ++t) frames.push_back(video[b].select(1, t));
  }
  for (const bool is_training : {true, false}) {
    encoder->train(is_training);
    const auto expected = encoder->forward(torch::stack(frames), {}).view({5, 4, 512}).mean(1);
    EXPECT_LT(difference(encoder->forward(video, {}), expected), 1e-12) << is_training;
  }
}

/// The published table, layer by layer, on parameters and buffers taken in the order of their registration.
class Reference {
 public:
  explicit Reference(const poise::Encoder& encoder)
      : parameters_(encoder.parameters()), buffers_(encoder.buffers()) {}

  torch::Tensor features(const torch::Tensor& input, bool is_training) {
    is_training_ = is_training;
    auto x = torch::max_pool2d(torch::relu(layer(input, 2, 3)), 3, 2, 1);
    x = block(block(x, 1, false), 1, false);
    sizes = {x.size(2)};
    for (int stage = 2; stage <= 4; ++stage) {
      x = block(block(x, 2, true), 1, false);
      sizes.push_back(x.size(2));
    }
    EXPECT_EQ(parameter_, parameters_.size());
    EXPECT_EQ(x.size(1), 512);
    return torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  }

  std::vector<std::int64_t> sizes;  ///< height of the map after each stage

 private:
  torch::Tensor layer(const torch::Tensor& x, int stride, int padding) {
    const auto* p = &parameters_[parameter_];
    const auto* b = &buffers_[buffer_];
    parameter_ += 3;
    buffer_ += 3;
    return torch::batch_norm(torch::conv2d(x, p[0], {}, stride, padding), p[1], p[2], b[0].clone(),
                             b[1].clone(), is_training_, 0.1, 1e-5, false);
  }

  torch::Tensor block(const torch::Tensor& x, int stride, bool has_shortcut) {
    const auto y = layer(torch::relu(layer(x, stride, 1)), 1, 1);
    return torch::relu(y + (has_shortcut ? layer(x, stride, 0) : x));
  }

  std::vector<torch::Tensor> parameters_, buffers_;
  std::size_t parameter_ = 0, buffer_ = 0;
  bool is_training_ = false;
};

TEST(ResNet18, ComputesThePublishedTable) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained("", {1, 112, 112});
  encoder->to(torch::kFloat64);
  const auto input = samples({1, 112, 112}, 3).to(torch::kFloat64);
  for (const bool is_training : {true, false}) {
    Reference reference(*encoder);
    const auto expected = reference.features(input, is_training);
    EXPECT_EQ(reference.sizes, (std::vector<std::int64_t>{28, 14, 7, 4}));
    encoder->train(is_training);
    EXPECT_LT(difference(encoder->forward(input, {}), expected), 1e-10);
  }
}

TEST(ResNet18, StartsAsPublished) {
  const auto encoder = encoder_of({3, 64, 64});
  std::vector<torch::Tensor> norm_weights;
  for (const auto& parameter : encoder->named_parameters()) {
    const auto value = parameter->detach();
    if (value.dim() == 4) {
      // kaiming_normal, fan out: variance 2 / (C_out h w). Five standard errors are allowed.
      const auto n = static_cast<double>(value.numel());
      const auto scaled = value * std::sqrt(n / static_cast<double>(value.size(1)) / 2);
      EXPECT_NEAR(scaled.std().item<double>(), 1, 5 / std::sqrt(2 * n)) << parameter.key();
      EXPECT_NEAR(scaled.mean().item<double>(), 0, 5 / std::sqrt(n)) << parameter.key();
    } else if (parameter.key().ends_with("weight")) {
      norm_weights.push_back(value);
    } else {
      EXPECT_TRUE(torch::equal(value, torch::zeros_like(value))) << parameter.key();
    }
  }
  const auto all = torch::cat(norm_weights);
  ASSERT_EQ(all.numel(), 4800);
  EXPECT_NEAR(all.mean().item<double>(), 1, 5 * 0.02 / std::sqrt(4800));
  EXPECT_NEAR(all.std().item<double>(), 0.02, 5 * 0.02 / std::sqrt(9600));
}

TEST(ResNet18, RefusesWhatItCannotUse) {
  expect_refused<poise::Encoder>("width = 512", "width");
  const std::string reads =
      "resnet18 reads images [C, H, W] and videos [C, T, H, W] of 1 to 3 channels, and modality ";
  const std::string other = ": choose another encoder for it";
  const std::string neither = reads + "'clip' is neither" + other;
  const std::string sequence = reads + "'clip' is a sequence, whose lengths it would ignore" + other;
  const auto refused = [](const poise::Modality& modality) {
    return refusal([&] { make<poise::Encoder>()->build(modality); });
  };
  EXPECT_EQ(refused({.name = "clip", .shape = {4, 28, 28}}), neither);
  EXPECT_EQ(refused({.name = "clip", .shape = {28, 28}}), neither);
  EXPECT_EQ(refused({.name = "clip", .shape = {3, 28, 28}, .is_sequence = true}), sequence);
}

}  // namespace

POISE_CONFORMANCE("");
