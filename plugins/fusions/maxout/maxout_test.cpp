#include "poise/conformance_test.h"
#include "poise/error.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

constexpr const char* small = "hidden = 6\nfeatures = 5";
poise::FusionSpec two() {
  return {.modalities = {"audio", "image"},
          .widths = {3, 4},
          .stage_channels = {},
          .task = {.outputs = 2, .labels = {}}};
}

std::shared_ptr<poise::Fusion> fusion_of(const std::string& options, const poise::FusionSpec& spec = two()) {
  return built(options, spec, 4);
}

TEST(Maxout, HasThePublishedNumberOfParameters) {
  const poise::FusionSpec av_mnist = {.modalities = {"audio", "image"},
                                      .widths = {512, 512},
                                      .stage_channels = {},
                                      .task = {.outputs = 10, .labels = {}}};
  // AV-MNIST early: 30,753,674, of which two ResNet18 have 11,170,240 each (resnet18_test).
  EXPECT_EQ(count_parameters(*fusion_of("", av_mnist)), 30753674 - 2 * 11170240);
  EXPECT_EQ(count_parameters(*fusion_of("", av_mnist)), 8413194);
}

/// The formula in float64, pair by pair, with BatchNorm written out. Evaluation mode uses the buffers.
std::pair<torch::Tensor, torch::Tensor> reference(const poise::Fusion& fusion,
                                                  const std::vector<torch::Tensor>& features,
                                                  bool is_training) {
  const auto p = fusion.named_parameters();
  const auto b = fusion.named_buffers();
  const auto norm = [&](const torch::Tensor& x, const std::string& name, double eps) {
    const auto mean = is_training ? x.mean(0) : b[name + ".running_mean"];
    const auto variance = is_training ? (x - mean).square().mean(0) : b[name + ".running_var"];
    return (x - mean) / (variance + eps).sqrt() * p[name + ".weight"] + p[name + ".bias"];
  };
  const auto larger = [&](const torch::Tensor& x, const std::string& name) {
    const auto y = x.matmul(p[name + ".weight"].t()) + p[name + ".bias"];
    return torch::maximum(y.slice(1, 0, y.size(1), 2), y.slice(1, 1, y.size(1), 2));
  };
  auto x = norm(torch::cat(features, 1), "norm", 1e-4);
  x = norm(larger(x, "first.linear"), "first.norm", 1e-5);
  x = norm(larger(x, "second.linear"), "second.norm", 1e-5);
  return {x.matmul(p["head.weight"].t()) + p["head.bias"], x};
}

TEST(Maxout, ComputesThePublishedFormula) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(std::string(small) + "\ndropout = 0.0");
  fusion->to(torch::kFloat64);
  // Small features, so that eps matters.
  auto features = features_of(two(), 8, torch::kFloat64);
  for (auto& feature : features) feature.mul_(0.01);
  for (const bool is_training : {true, false}) {
    fusion->train(is_training);
    const auto [logits, feature] = reference(*fusion, features, is_training);
    const auto output = fusion->forward(features, {});
    EXPECT_LT(difference(output.logits, logits), 1e-10) << is_training;
    EXPECT_LT(difference(output.feature, feature), 1e-10) << is_training;
  }
}

TEST(Maxout, HasAGradientForEveryParameterAndEveryModality) {
  const auto fusion = fusion_of(small);
  auto features = features_of(two(), 32);
  for (auto& feature : features) feature.requires_grad_();
  const auto output = fusion->forward(features, {});
  EXPECT_EQ(output.logits.sizes(), (std::vector<std::int64_t>{32, 2}));
  EXPECT_EQ(output.feature.sizes(), (std::vector<std::int64_t>{32, 5}));
  (output.logits * torch::randn({32, 2})).sum().backward();
  expect_gradients(*fusion);
  for (const auto& feature : features) EXPECT_GT(feature.grad().abs().max().item<double>(), 0);
}

TEST(Maxout, DropsUnitsInTrainingAlone) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of("hidden = 64\nfeatures = 512");
  const auto features = features_of(two(), 64);
  const auto dropped = [&] {
    return (fusion->forward(features, {}).feature == 0).to(torch::kFloat64).mean().item<double>();
  };
  // 32768 draws estimate 0.3 within 0.0025.
  EXPECT_NEAR(dropped(), 0.3, 0.0125);
  EXPECT_FALSE(fusion->modes_agree());
  fusion->eval();
  EXPECT_EQ(dropped(), 0);
}

TEST(Maxout, EvaluatesRowsIndependentlyAndOneAlone) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(small);
  fusion->forward(features_of(two(), 16), {});
  fusion->eval();
  auto features = features_of(two(), 6);
  const auto logits = fusion->forward(features, {}).logits;
  EXPECT_LT(difference(fusion->forward({features[0].narrow(0, 2, 1), features[1].narrow(0, 2, 1)}, {}).logits,
                       logits.narrow(0, 2, 1)),
            1e-5);
  for (auto& feature : features) feature.narrow(0, 3, 3).mul_(-5);
  EXPECT_TRUE(same_bits(fusion->forward(features, {}).logits.narrow(0, 0, 3), logits.narrow(0, 0, 3)));
}

TEST(Maxout, IsNotAdditiveAndNamesItsHead) {
  const auto fusion = fusion_of(small);
  EXPECT_FALSE(fusion->additive());
  EXPECT_THROW(fusion->share(0, torch::randn({2, 3})), poise::Error);
  expect_roles(*fusion, {{"head.weight", poise::Role::head, {}}, {"head.bias", poise::Role::head, {}}});
}

TEST(Maxout, RefusesWhatItCannotUse) {
  expect_refused<poise::Fusion>("hiden = 8", "hidden");
  expect_refused<poise::Fusion>("hidden = 0", "hidden is 0");
  expect_refused<poise::Fusion>("features = 0", "features is 0");
  expect_refused<poise::Fusion>("dropout = 1.0", "dropout is 1");
}

}  // namespace

POISE_CONFORMANCE("hidden = 16\nfeatures = 12");
