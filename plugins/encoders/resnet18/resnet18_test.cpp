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

INSTANTIATE_TEST_SUITE_P(Shapes, ResNet18OnImages, ::testing::Values(Shape{1, 28, 28}, Shape{3, 41, 30}));

TEST(ResNet18, HasThePublishedNumberOfParameters) {
  EXPECT_EQ(count_parameters(*encoder_of({1, 112, 112})), 11170240);
  EXPECT_EQ(count_parameters(*encoder_of({3, 224, 224})), 11176512);
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
  const auto input = images({1, 112, 112}, 3).to(torch::kFloat64);
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
  for (const Shape& shape : {Shape{2, 28, 28}, Shape{28, 28}}) {
    try {
      encoder_of(shape);
      FAIL() << "accepted";
    } catch (const poise::Error& error) {
      EXPECT_EQ(error.fault(), poise::Fault::usage);
      EXPECT_EQ(std::string(error.what()),
                "resnet18 reads images [C, H, W] of 1 or 3 channels, and modality "
                "'image' is not one: choose another encoder for it");
    }
  }
}

}  // namespace
