#include "poise/conformance_test.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

constexpr const char* small = "hidden = 6";

poise::FusionSpec two() { return spec_of({"audio", "image"}, {3, 5}); }

std::shared_ptr<poise::Fusion> fusion_of(const std::string& options) { return built(options, two(), 3); }

/// The formula with every product and the sigmoid written out.
std::pair<torch::Tensor, torch::Tensor> reference(const poise::Fusion& fusion,
                                                  const std::vector<torch::Tensor>& features,
                                                  bool image_gates) {
  const auto p = fusion.named_parameters();
  const auto linear = [&](const torch::Tensor& x, const std::string& name) {
    return (x.unsqueeze(1) * p[name + ".weight"]).sum(2) + p[name + ".bias"];
  };
  const auto audio = linear(features[0], "hidden_audio");
  const auto image = linear(features[1], "hidden_image");
  const auto feature = image_gates ? audio / (1 + (-image).exp()) : image / (1 + (-audio).exp());
  return {linear(feature, "head"), feature};
}

TEST(Gated, ComputesThePublishedFormula) {
  const torch::NoGradGuard no_grad;
  for (const auto& [gate, image_gates] :
       {std::pair{"", false}, std::pair{"\ngate = 'audio'", false}, std::pair{"\ngate = 'image'", true}}) {
    const auto fusion = fusion_of(std::string(small) + gate);
    fusion->to(torch::kFloat64);
    const auto features = features_of(two(), 6, torch::kFloat64);
    const auto [logits, feature] = reference(*fusion, features, image_gates);
    const auto output = fusion->forward(features, {});
    EXPECT_LT(difference(output.logits, logits), 1e-12) << gate;
    EXPECT_LT(difference(output.feature, feature), 1e-12) << gate;
  }
}

TEST(Gated, HasThePublishedWidth) {
  const auto parameters = fusion_of("")->named_parameters();
  EXPECT_EQ(parameters["hidden_audio.weight"].sizes(), (std::vector<std::int64_t>{512, 3}));
  EXPECT_EQ(parameters["hidden_image.weight"].sizes(), (std::vector<std::int64_t>{512, 5}));
  EXPECT_EQ(parameters["head.weight"].sizes(), (std::vector<std::int64_t>{4, 512}));
}

TEST(Gated, HasNoGateForAModalityAlone) {
  const torch::NoGradGuard no_grad;
  const auto one = spec_of({"image"}, {5});
  const auto fusion = built(std::string(small) + "\ngate = 'audio'", one, 3);
  fusion->to(torch::kFloat64);
  const auto p = fusion->named_parameters();
  EXPECT_EQ(p.size(), 4U);
  const auto f = features_of(one, 6, torch::kFloat64)[0];
  const auto hidden = f.matmul(p["hidden_image.weight"].t()) + p["hidden_image.bias"];
  const auto output = fusion->forward({f}, {});
  EXPECT_LT(difference(output.feature, hidden), 1e-12);
  EXPECT_LT(difference(output.logits, hidden.matmul(p["head.weight"].t()) + p["head.bias"]), 1e-12);
}

TEST(Gated, HasAGradientForEveryParameterAndEveryModality) {
  const auto fusion = fusion_of(small);
  expect_gradients_everywhere(*fusion, features_of(two(), 6));
}

TEST(Gated, SaysWhatItsParametersAreFor) {
  const auto fusion = fusion_of(small);
  expect_roles(*fusion, {{"hidden_audio.weight", poise::Role::bypass, {0}},
                         {"hidden_audio.bias", poise::Role::bypass, {0}},
                         {"hidden_image.weight", poise::Role::bypass, {1}},
                         {"hidden_image.bias", poise::Role::bypass, {1}},
                         {"head.weight", poise::Role::head, {}},
                         {"head.bias", poise::Role::head, {}}});
}

TEST(Gated, ComputesTheSameInBothModesAndForOneRow) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(small);
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->modes_agree());
  const auto features = features_of(two(), 6, torch::kFloat64);
  const auto training = fusion->forward(features, {}).logits;
  fusion->eval();
  EXPECT_TRUE(same_bits(fusion->forward(features, {}).logits, training));
  const auto row = fusion->forward({features[0].narrow(0, 4, 1), features[1].narrow(0, 4, 1)}, {}).logits;
  EXPECT_LT(difference(row, training.narrow(0, 4, 1)), 1e-12);
}

TEST(Gated, IsNotAdditive) {
  const auto fusion = fusion_of(small);
  EXPECT_FALSE(fusion->additive());
  EXPECT_THROW(fusion->share(0, torch::randn({2, 3})), poise::Error);
}

TEST(Gated, RefusesWhatItCannotUse) {
  expect_refused<poise::Fusion>("hiden = 8", "hidden");
  expect_refused<poise::Fusion>("hidden = 0", "hidden is 0");
  expect_refused<poise::Fusion>("gate = 1", "gate must be a text");
  expect_build_refused("gate = 'sound'", two(),
                       "gated cannot have 'sound' as its gate, since this run has 'audio' and 'image': set "
                       "fusion.gate to one of them");
  auto spec = two();
  spec.modalities.emplace_back("text");
  spec.widths.push_back(4);
  expect_build_refused("", spec, "gated joins 2 modalities, and this run has 3: choose another fusion");
}

}  // namespace

POISE_CONFORMANCE("hidden = 8");
