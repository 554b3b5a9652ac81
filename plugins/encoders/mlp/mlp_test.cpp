#include "poise/conformance_test.h"
#include "poise/testing_encoder.h"

namespace {

using namespace poise::testing;
using Shape = std::vector<std::int64_t>;

constexpr const char* options = "hidden = [20, 12]\nwidth = 9";

class MlpOn : public ::testing::TestWithParam<Shape> {};

TEST_P(MlpOn, HasItsWidthAndAGradientForEveryParameter) {
  expect_width_and_gradients(options, GetParam(), 9);
}
TEST_P(MlpOn, EncodesRowsIndependently) { expect_independent_rows(options, GetParam()); }
TEST_P(MlpOn, ComputesTheSameInBothModes) { expect_modes(options, GetParam(), true); }
TEST_P(MlpOn, IsConstantWhenAbsent) { expect_constant_when_absent(options, GetParam()); }

INSTANTIATE_TEST_SUITE_P(Shapes, MlpOn, ::testing::Values(Shape{5}, Shape{3, 4}, Shape{2, 6, 7}));

TEST(Mlp, ComputesItsFormulaOnTheFlattenedInput) {
  const torch::NoGradGuard no_grad;
  for (const auto& [given, hidden] :
       {std::pair{"hidden = []", 0}, std::pair{"", 1}, std::pair{"hidden = [20, 12, 8]", 3}}) {
    const auto encoder = trained(given, {3, 4});
    encoder->to(torch::kFloat64);
    const auto p = encoder->parameters();
    ASSERT_EQ(p.size(), 2U * (static_cast<std::size_t>(hidden) + 1)) << given;
    const auto input = samples({3, 4}, 6).to(torch::kFloat64);
    auto h = input.reshape({6, 12});
    std::size_t i = 0;
    for (; i + 2 < p.size(); i += 2) h = (h.matmul(p[i].t()) + p[i + 1]).clamp_min(0);
    h = h.matmul(p[i].t()) + p[i + 1];
    EXPECT_LT(h.min().item<double>(), 0) << "the feature has no ReLU";
    EXPECT_LT(difference(encoder->forward(input, {}), h), 1e-12) << given;
  }
}

TEST(Mlp, HasTheLayersThatItsOptionsSay) {
  const auto encoder = trained("hidden = [20, 12]\nwidth = 9", {3, 4});
  EXPECT_EQ(count_parameters(*encoder), (12 * 20 + 20) + (20 * 12 + 12) + (12 * 9 + 9));
  EXPECT_EQ(count_parameters(*trained("", {10})), (10 * 64 + 64) + (64 * 64 + 64));
}

TEST(Mlp, StartsWithVarianceOneOverFanInAndNoBias) {
  torch::manual_seed(3);
  auto encoder = make<poise::Encoder>("hidden = [256]\nwidth = 256");
  encoder->build({.name = "vector", .shape = {100}});
  for (const auto& parameter : encoder->named_parameters()) {
    if (parameter->dim() == 1) {
      EXPECT_TRUE(torch::equal(*parameter, torch::zeros_like(*parameter))) << parameter.key();
      continue;
    }
    // n entries estimate a standard deviation within 1/sqrt(2n) and a mean within 1/sqrt(n): 5 times that.
    const auto n = static_cast<double>(parameter->numel());
    const auto scaled = parameter->detach() * std::sqrt(parameter->size(1));
    EXPECT_NEAR(scaled.std().item<double>(), 1, 5 / std::sqrt(2 * n)) << parameter.key();
    EXPECT_NEAR(scaled.mean().item<double>(), 0, 5 / std::sqrt(n)) << parameter.key();
  }
}

/// Features that are the hidden units themselves, none of which is 0 unless it is dropped.
TEST(Mlp, DropsHiddenUnitsInTrainingAlone) {
  const torch::NoGradGuard no_grad;
  const std::string with_dropout = "hidden = [128]\nwidth = 128\ndropout = 0.25";
  expect_modes(with_dropout, {8}, false);
  const auto encoder = trained(with_dropout, {8});
  auto p = encoder->named_parameters();
  p["hidden1.bias"].fill_(100);
  p["output.weight"].copy_(torch::eye(128));
  p["output.bias"].zero_();
  const auto input = samples({8}, 256);
  encoder->eval();
  const auto units = encoder->forward(input, {});
  encoder->train();
  const auto kept = encoder->forward(input, {});
  const auto dropped = kept == 0;
  // 32768 draws estimate 0.25 within 0.0024.
  EXPECT_NEAR(dropped.to(torch::kFloat64).mean().item<double>(), 0.25, 0.012);
  EXPECT_LT(difference(kept, (units / 0.75).masked_fill(dropped, 0)), 1e-5);
}

TEST(Mlp, RefusesWhatItCannotUse) {
  expect_refused<poise::Encoder>("widths = 64", "widths");
  expect_refused<poise::Encoder>("width = 0", "width is 0");
  expect_refused<poise::Encoder>("hidden = [4, 0]", "hidden is 0");
  expect_refused<poise::Encoder>("dropout = 1.0", "dropout is 1");
  expect_refused<poise::Encoder>("hidden = []\ndropout = 0.5", "hidden is empty");
  try {
    make<poise::Encoder>()->build({.name = "text", .shape = {40, 300}, .is_sequence = true});
    FAIL() << "accepted";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_EQ(
        std::string(error.what()),
        "mlp reads inputs of one size, and modality 'text' is a sequence, whose lengths it would ignore: "
        "choose transformer for it, or identity, which gives its mean");
  }
}

}  // namespace

POISE_CONFORMANCE("");
