#include "poise/conformance_test.h"
#include "poise/testing_encoder.h"

namespace {

using namespace poise::testing;
using Shape = std::vector<std::int64_t>;

constexpr const char* options = "width = 24\nchannels = 4";

class LeNetOnImages : public ::testing::TestWithParam<Shape> {};

TEST_P(LeNetOnImages, HasItsWidthAndAGradientForEveryParameter) {
  expect_width_and_gradients(options, GetParam(), 24);
}
TEST_P(LeNetOnImages, EncodesRowsIndependently) { expect_independent_rows(options, GetParam()); }
TEST_P(LeNetOnImages, ComputesTheSameInBothModes) { expect_modes(options, GetParam(), true); }
TEST_P(LeNetOnImages, IsConstantWhenAbsent) { expect_constant_when_absent(options, GetParam()); }
TEST_P(LeNetOnImages, RunsInStages) { expect_stages(options, GetParam()); }

INSTANTIATE_TEST_SUITE_P(Shapes, LeNetOnImages,
                         ::testing::Values(Shape{1, 28, 28}, Shape{1, 112, 112}, Shape{3, 33, 60},
                                           Shape{2, 65, 67}));

/// The layers' weights as text, "8x1x3x3 16x8x3x3 64x784".
std::string layers(const Shape& shape, const std::string& given = "") {
  auto encoder = make<poise::Encoder>(given);
  encoder->build({.name = "image", .shape = shape});
  std::string text;
  for (const auto& parameter : encoder->parameters()) {
    if (parameter.dim() == 1) continue;
    if (!text.empty()) text += ' ';
    for (std::int64_t i = 0; i < parameter.dim(); ++i) {
      text += (i == 0 ? "" : "x") + std::to_string(parameter.size(i));
    }
  }
  return text;
}

TEST(LeNet, TakesAsManyLayersAsTheShorterSideAsksFor) {
  EXPECT_EQ(layers({1, 28, 28}), "8x1x5x5 16x8x3x3 64x784");                           // a map of 7x7
  EXPECT_EQ(layers({1, 112, 112}), "8x1x5x5 16x8x3x3 32x16x3x3 64x1568");              // stride 2, 7x7
  EXPECT_EQ(layers({1, 63, 63}), "8x1x5x5 16x8x3x3 32x16x3x3 64x1568");                // 7x7
  EXPECT_EQ(layers({1, 257, 188}), "8x1x5x5 16x8x3x3 32x16x3x3 32x32x3x3 64x1280");    // stride 2, 8x5
  EXPECT_EQ(layers({3, 16, 16}), "8x3x5x5 16x8x3x3 64x256");                           // 4x4
  EXPECT_EQ(layers({3, 31, 64}, "width = 5\nchannels = 2"), "2x3x5x5 4x2x3x3 5x448");  // 7x16
}

/// The formula as it is mostly written, ReLU before the maximum.
TEST(LeNet, ComputesItsFormula) {
  for (const auto& [side, stride] : {std::pair{28, 1}, std::pair{112, 2}}) {
    const auto encoder = trained("", {1, side, side});
    const auto parameters = encoder->parameters();
    const auto input = samples({1, side, side}, 3);
    auto x = input;
    std::size_t i = 0;
    for (; i + 2 < parameters.size(); i += 2) {
      const auto& weight = parameters[i];
      x = torch::conv2d(x, weight, parameters[i + 1], i == 0 ? stride : 1, weight.size(2) / 2).clamp_min(0);
      x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax({4, 5});
    }
    x = (x.reshape({3, -1}).matmul(parameters[i].t()) + parameters[i + 1]).clamp_min(0);
    EXPECT_LT(difference(encoder->forward(input, {}), x), 1e-5);
  }
}

TEST(LeNet, StartsWithVarianceOneOverFanInAndNoBias) {
  torch::manual_seed(3);
  auto encoder = make<poise::Encoder>("channels = 32\nwidth = 256");
  encoder->build({.name = "image", .shape = {3, 112, 112}});
  for (const auto& parameter : encoder->named_parameters()) {
    if (parameter->dim() == 1) {
      EXPECT_TRUE(torch::equal(*parameter, torch::zeros_like(*parameter))) << parameter.key();
      continue;
    }
    // n entries estimate a standard deviation within 1/sqrt(2n) and a mean within 1/sqrt(n): 5 times that.
    const auto n = static_cast<double>(parameter->numel());
    const auto scaled = parameter->detach() * std::sqrt((*parameter)[0].numel());
    EXPECT_NEAR(scaled.std().item<double>(), 1, 5 / std::sqrt(2 * n)) << parameter.key();
    EXPECT_NEAR(scaled.mean().item<double>(), 0, 5 / std::sqrt(n)) << parameter.key();
  }
}

TEST(LeNet, HasTheGradientOfFiniteDifferences) {
  torch::manual_seed(5);
  const auto encoder = trained("width = 3\nchannels = 2", {1, 32, 24});
  encoder->to(torch::kFloat64);
  const auto input = torch::randn({2, 1, 32, 24}, torch::kFloat64);
  const auto direction = torch::randn({2, 3}, torch::kFloat64);
  const auto value = [&] { return (encoder->forward(input, {}) * direction).sum(); };
  value().backward();
  const torch::NoGradGuard no_grad;
  constexpr double h = 1e-6;
  for (const auto& parameter : encoder->named_parameters()) {
    auto flat = parameter->view(-1);
    for (const std::int64_t i : {std::int64_t{0}, flat.size(0) / 2, flat.size(0) - 1}) {
      flat[i] += h;
      const auto above = value().item<double>();
      flat[i] -= 2 * h;
      const auto below = value().item<double>();
      flat[i] += h;
      EXPECT_NEAR((above - below) / (2 * h), parameter->grad().view(-1)[i].item<double>(), 1e-7)
          << parameter.key() << ' ' << i;
    }
  }
}

TEST(LeNet, RefusesWhatItCannotUse) {
  expect_refused<poise::Encoder>("widths = 64", "widths");
  expect_refused<poise::Encoder>("width = 0", "width is 0");
  expect_refused<poise::Encoder>("channels = 0", "channels is 0");
  expect_refused<poise::Encoder>("channels = 2.5", "channels must be a whole number");
  const poise::Modality flat = {.name = "sound", .shape = {28, 28}};
  const poise::Modality small = {.name = "sound", .shape = {1, 15, 28}};
  const poise::Modality sequence = {.name = "sound", .shape = {9, 28, 28}, .is_sequence = true};
  for (const auto& modality : {flat, small, sequence}) {
    try {
      make<poise::Encoder>()->build(modality);
      FAIL() << "accepted";
    } catch (const poise::Error& error) {
      EXPECT_EQ(error.fault(), poise::Fault::usage);
      EXPECT_EQ(std::string(error.what()),
                "lenet reads images [C, H, W] of at least 16x16, and modality 'sound' is "
                "not one: choose another encoder for it");
    }
  }
}

}  // namespace

POISE_CONFORMANCE(options);
