#include "poise/conformance_test.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

poise::FusionSpec two() { return spec_of({"audio", "image"}, {3, 5}); }

std::shared_ptr<poise::Fusion> fusion_of(const std::string& options) { return built(options, two(), 2); }

/// The formula with every product written out.
std::pair<torch::Tensor, torch::Tensor> reference(const poise::Fusion& fusion, const torch::Tensor& f_a,
                                                  const torch::Tensor& f_b) {
  const auto p = fusion.named_parameters();
  const auto linear = [&](const torch::Tensor& x, const std::string& name) {
    return (x.unsqueeze(1) * p[name + ".weight"]).sum(2) + p[name + ".bias"];
  };
  const auto width = f_b.size(1);
  const auto both = linear(f_a, "conditioning");
  const auto feature = both.narrow(1, 0, width) * f_b + both.narrow(1, width, width);
  return {linear(feature, "head"), feature};
}

TEST(Film, ComputesThePublishedFormula) {
  const torch::NoGradGuard no_grad;
  for (const auto& [options, a] :
       {std::pair{"", 0}, std::pair{"modulated_by = 'audio'", 0}, std::pair{"modulated_by = 'image'", 1}}) {
    const auto fusion = fusion_of(options);
    fusion->to(torch::kFloat64);
    const auto features = features_of(two(), 6, torch::kFloat64);
    const auto [logits, feature] =
        a == 0 ? reference(*fusion, features[0], features[1]) : reference(*fusion, features[1], features[0]);
    const auto output = fusion->forward(features, {});
    EXPECT_EQ(output.feature.size(1), a == 0 ? 5 : 3) << options;
    EXPECT_LT(difference(output.logits, logits), 1e-12) << options;
    EXPECT_LT(difference(output.feature, feature), 1e-12) << options;
  }
}

TEST(Film, IsALinearLayerForAModalityAlone) {
  const torch::NoGradGuard no_grad;
  const auto one = spec_of({"image"}, {5});
  const auto fusion = built("modulated_by = 'audio'", one, 2);
  fusion->to(torch::kFloat64);
  const auto p = fusion->named_parameters();
  EXPECT_EQ(p.size(), 2U);
  const auto f = features_of(one, 6, torch::kFloat64)[0];
  const auto output = fusion->forward({f}, {});
  EXPECT_LT(difference(output.logits, f.matmul(p["head.weight"].t()) + p["head.bias"]), 1e-12);
  EXPECT_TRUE(same_bits(output.feature, f));
}

TEST(Film, HasAGradientForEveryParameterAndEveryModality) {
  const auto fusion = fusion_of("");
  expect_gradients_everywhere(*fusion, features_of(two(), 6));
}

TEST(Film, SaysWhatItsParametersAreFor) {
  for (const int a : {0, 1}) {
    const auto fusion = fusion_of(a == 0 ? "" : "modulated_by = 'image'");
    expect_roles(*fusion, {{"conditioning.weight", poise::Role::bypass, {a}},
                           {"conditioning.bias", poise::Role::bypass, {a}},
                           {"head.weight", poise::Role::head, {}},
                           {"head.bias", poise::Role::head, {}}});
  }
}

TEST(Film, ComputesTheSameInBothModesAndForOneRow) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of("");
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->modes_agree());
  const auto features = features_of(two(), 6, torch::kFloat64);
  const auto training = fusion->forward(features, {}).logits;
  fusion->eval();
  EXPECT_TRUE(same_bits(fusion->forward(features, {}).logits, training));
  const auto row = fusion->forward({features[0].narrow(0, 4, 1), features[1].narrow(0, 4, 1)}, {}).logits;
  EXPECT_LT(difference(row, training.narrow(0, 4, 1)), 1e-12);
}

TEST(Film, IsNotAdditive) {
  const auto fusion = fusion_of("");
  EXPECT_FALSE(fusion->additive());
  EXPECT_THROW(fusion->share(0, torch::randn({2, 3})), poise::Error);
}

TEST(Film, RefusesWhatItCannotUse) {
  expect_refused<poise::Fusion>("modulatd_by = 'audio'", "modulated_by");
  expect_refused<poise::Fusion>("modulated_by = 1", "modulated_by must be a text");
  expect_build_refused("modulated_by = 'sound'", two(),
                       "film cannot be modulated by 'sound', since this run has 'audio' and 'image': set "
                       "fusion.modulated_by to one of them");
  auto spec = two();
  spec.modalities.emplace_back("text");
  spec.widths.push_back(4);
  expect_build_refused("", spec, "film joins 2 modalities, and this run has 3: choose another fusion");
}

}  // namespace

POISE_CONFORMANCE("");
