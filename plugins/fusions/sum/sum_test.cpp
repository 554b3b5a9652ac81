#include "poise/conformance_test.h"
#include "poise/fusion.h"
#include "poise/testing.h"

namespace {

using namespace poise::testing;

poise::FusionSpec three() {
  return {.modalities = {"audio", "image", "text"},
          .widths = {5, 3, 7},
          .stage_channels = {},
          .task = {.outputs = 4, .labels = {}}};
}

std::shared_ptr<poise::Fusion> fusion_of(const poise::FusionSpec& spec) {
  torch::manual_seed(1);
  auto fusion = make<poise::Fusion>();
  fusion->build(spec);
  return fusion;
}

std::vector<torch::Tensor> features_of(const poise::FusionSpec& spec, torch::Dtype type) {
  std::vector<torch::Tensor> features;
  features.reserve(spec.widths.size());
  for (const auto width : spec.widths) features.push_back(torch::randn({6, width}, type));
  return features;
}

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
  const auto features = features_of(spec, torch::kFloat64);
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
  const auto features = features_of(spec, torch::kFloat64);
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
  auto features = features_of(three(), torch::kFloat32);
  for (auto& feature : features) feature.requires_grad_();
  const auto output = fusion->forward(features, {});
  (output.logits * torch::randn({6, 4})).sum().backward();
  expect_gradients(*fusion);
  for (const auto& feature : features) EXPECT_GT(feature.grad().abs().max().item<double>(), 0);
}

TEST(Sum, SaysWhatItsParametersAreFor) {
  const auto fusion = fusion_of(three());
  const auto parameters = fusion->named_parameters();
  const auto& roles = fusion->roles();
  const std::vector<std::pair<std::string, int>> expected = {{"head_audio.weight", 0}, {"head_audio.bias", 0},
                                                             {"head_image.weight", 1}, {"head_image.bias", 1},
                                                             {"head_text.weight", 2},  {"head_text.bias", 2}};
  ASSERT_EQ(roles.size(), expected.size());
  for (std::size_t i = 0; i < roles.size(); ++i) {
    EXPECT_TRUE(roles[i].parameter.is_same(parameters[expected[i].first]));
    EXPECT_EQ(roles[i].role, poise::Role::head);
    EXPECT_EQ(roles[i].modalities, std::vector<int>{expected[i].second});
  }
}

TEST(Sum, ComputesTheSameInBothModesAndForOneRow) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(three());
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->modes_agree());
  const auto features = features_of(three(), torch::kFloat64);
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
