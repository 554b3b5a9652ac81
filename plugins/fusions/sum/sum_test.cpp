#include "poise/conformance_test.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

poise::FusionSpec three() { return spec_of({"audio", "image", "text"}, {5, 3, 7}); }

std::shared_ptr<poise::Fusion> fusion_of(const poise::FusionSpec& spec) { return built("", spec, 1); }

/// W_m f_m + b_m, row by row of W_m.
torch::Tensor head(const poise::Fusion& fusion, const std::string& modality, const torch::Tensor& feature) {
  const auto p = fusion.named_parameters();
  const auto products = feature.unsqueeze(1) * p["head_" + modality + ".weight"];  // [B, C, d_m]
  return products.sum(2) + p["head_" + modality + ".bias"];
}

TEST(Sum, ComputesItsFormula) {
  const torch::NoGradGuard no_grad;
  const auto spec = three();
  const auto fusion = fusion_of(spec);
  fusion->to(torch::kFloat64);
  const auto features = features_of(spec, 6, torch::kFloat64);
  auto expected = torch::zeros({6, 4}, torch::kFloat64);
  for (std::size_t m = 0; m < 3; ++m) expected += head(*fusion, spec.modalities[m], features[m]);
  const auto output = fusion->forward(features, {});
  EXPECT_LT(difference(output.logits, expected), 1e-12);
  EXPECT_TRUE(same_bits(output.feature, torch::cat(features, 1)));
}

TEST(Sum, HasSharesThatSumToTheLogits) {
  const torch::NoGradGuard no_grad;
  const auto spec = three();
  const auto fusion = fusion_of(spec);
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->additive());
  const auto features = features_of(spec, 6, torch::kFloat64);
  auto sum = torch::zeros({6, 4}, torch::kFloat64);
  for (std::size_t m = 0; m < 3; ++m) {
    const auto share = fusion->share(static_cast<int>(m), features[m]);
    EXPECT_LT(difference(share, head(*fusion, spec.modalities[m], features[m])), 1e-12);
    sum += share;
  }
  EXPECT_LT(difference(sum, fusion->forward(features, {}).logits), 1e-12);
}

TEST(Sum, HasSharesWithTheirOwnParameters) {
  const auto fusion = fusion_of(three());
  fusion->share(1, torch::randn({6, 3})).square().sum().backward();
  for (const auto& parameter : fusion->named_parameters()) {
    const bool is_its_own = parameter.key().starts_with("head_image.");
    EXPECT_EQ(parameter->grad().defined(), is_its_own) << parameter.key();
  }
}

TEST(Sum, HasAGradientForEveryParameterAndEveryModality) {
  const auto fusion = fusion_of(three());
  expect_gradients_everywhere(*fusion, features_of(three(), 6));
}

TEST(Sum, SaysWhatItsParametersAreFor) {
  const auto fusion = fusion_of(three());
  expect_roles(*fusion, {{"head_audio.weight", poise::Role::head, {0}},
                         {"head_audio.bias", poise::Role::head, {0}},
                         {"head_image.weight", poise::Role::head, {1}},
                         {"head_image.bias", poise::Role::head, {1}},
                         {"head_text.weight", poise::Role::head, {2}},
                         {"head_text.bias", poise::Role::head, {2}}});
}

TEST(Sum, ComputesTheSameInBothModesAndForOneRow) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(three());
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->modes_agree());
  const auto features = features_of(three(), 6, torch::kFloat64);
  const auto training = fusion->forward(features, {}).logits;
  fusion->eval();
  EXPECT_TRUE(same_bits(fusion->forward(features, {}).logits, training));
  std::vector<torch::Tensor> row;
  row.reserve(features.size());
  for (const auto& feature : features) row.push_back(feature.narrow(0, 4, 1));
  EXPECT_LT(difference(fusion->forward(row, {}).logits, training.narrow(0, 4, 1)), 1e-12);
}

TEST(Sum, TakesOneModality) {
  const auto fusion =
      fusion_of({.modalities = {"audio"}, .widths = {5}, .stage_channels = {}, .task = three().task});
  const auto feature = torch::randn({6, 5});
  EXPECT_TRUE(same_bits(fusion->forward({feature}, {}).logits, fusion->share(0, feature)));
}

TEST(Sum, RefusesOptions) { expect_refused<poise::Fusion>("hidden = 2", "hidden"); }

}  // namespace

POISE_CONFORMANCE("");
