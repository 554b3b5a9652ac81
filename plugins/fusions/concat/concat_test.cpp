#include <torch/nn/modules/linear.h>

#include "poise/conformance_test.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

poise::FusionSpec three() { return spec_of({"audio", "image", "text"}, {5, 3, 7}); }

std::shared_ptr<poise::Fusion> fusion_of(const poise::FusionSpec& spec) { return built("", spec, 1); }

TEST(Concat, StartsAsLinearOnTheConcatenation) {
  const auto fusion = fusion_of(three());
  torch::manual_seed(1);
  const torch::nn::Linear linear(15, 4);
  const auto parameters = fusion->named_parameters();
  EXPECT_TRUE(same_bits(parameters["weight_audio"], linear->weight.narrow(1, 0, 5)));
  EXPECT_TRUE(same_bits(parameters["weight_image"], linear->weight.narrow(1, 5, 3)));
  EXPECT_TRUE(same_bits(parameters["weight_text"], linear->weight.narrow(1, 8, 7)));
  EXPECT_TRUE(same_bits(parameters["bias"], linear->bias));
}

TEST(Concat, EqualsLinearOnTheConcatenation) {
  for (const auto& [type, tolerance] :
       {std::pair{torch::kFloat32, 1e-6}, std::pair{torch::kFloat64, 1e-12}}) {
    const auto fusion = fusion_of(three());
    torch::manual_seed(1);
    torch::nn::Linear linear(15, 4);
    fusion->to(type);
    linear->to(type);
    auto features = features_of(three(), 6, type);
    for (auto& feature : features) feature.requires_grad_();
    const auto whole = torch::cat(features, 1).detach().requires_grad_();

    const auto output = fusion->forward(features, {});
    const auto expected = linear(whole);
    EXPECT_LT(difference(output.logits, expected), tolerance);
    EXPECT_TRUE(same_bits(output.feature, whole));

    const auto direction = torch::randn({6, 4}, type);
    (output.logits * direction).sum().backward();
    (expected * direction).sum().backward();
    const auto parameters = fusion->parameters();
    EXPECT_LT(difference(torch::cat({parameters[0].grad(), parameters[1].grad(), parameters[2].grad()}, 1),
                         linear->weight.grad()),
              tolerance);
    EXPECT_LT(difference(parameters[3].grad(), linear->bias.grad()), tolerance);
    EXPECT_LT(
        difference(torch::cat({features[0].grad(), features[1].grad(), features[2].grad()}, 1), whole.grad()),
        tolerance);
  }
}

TEST(Concat, HasSharesThatSumToTheLogits) {
  const auto fusion = fusion_of(three());
  fusion->to(torch::kFloat64);
  EXPECT_TRUE(fusion->additive());
  const auto features = features_of(three(), 6, torch::kFloat64);
  auto sum = torch::zeros({6, 4}, torch::kFloat64);
  for (int m = 0; m < 3; ++m) sum += fusion->share(m, features[static_cast<std::size_t>(m)]);
  EXPECT_LT(difference(sum, fusion->forward(features, {}).logits), 1e-12);
}

TEST(Concat, HasSharesWithTheirOwnParameters) {
  const auto fusion = fusion_of(three());
  fusion->share(1, torch::randn({6, 3})).square().sum().backward();
  const auto parameters = fusion->named_parameters();
  EXPECT_GT(parameters["weight_image"].grad().abs().max().item<double>(), 0);
  EXPECT_GT(parameters["bias"].grad().abs().max().item<double>(), 0);
  EXPECT_FALSE(parameters["weight_audio"].grad().defined());
  EXPECT_FALSE(parameters["weight_text"].grad().defined());
}

TEST(Concat, SaysWhatItsParametersAreFor) {
  const auto fusion = fusion_of(three());
  expect_roles(*fusion, {{"weight_audio", poise::Role::head, {0}},
                         {"weight_image", poise::Role::head, {1}},
                         {"weight_text", poise::Role::head, {2}},
                         {"bias", poise::Role::head, {}}});
}

TEST(Concat, ComputesTheSameInBothModesAndForOneRow) {
  const auto fusion = fusion_of(three());
  EXPECT_TRUE(fusion->modes_agree());
  const auto features = features_of(three(), 6);
  const auto training = fusion->forward(features, {}).logits;
  fusion->eval();
  EXPECT_TRUE(same_bits(fusion->forward(features, {}).logits, training));
  std::vector<torch::Tensor> row;
  row.reserve(features.size());
  for (const auto& feature : features) row.push_back(feature.narrow(0, 4, 1));
  EXPECT_LT(difference(fusion->forward(row, {}).logits, training.narrow(0, 4, 1)), 1e-6);
}

TEST(Concat, TakesOneModality) {
  const auto fusion =
      fusion_of({.modalities = {"audio"}, .widths = {5}, .stage_channels = {}, .task = three().task});
  const auto feature = torch::randn({6, 5});
  EXPECT_TRUE(same_bits(fusion->forward({feature}, {}).logits, fusion->share(0, feature)));
}

TEST(Concat, HasTheHeadOfThePapersNetworks) {
  // AV-MNIST late: two ResNet18 of 11,170,240 parameters and this head are 22,350,730; CREMA-D late: ResNet18 of
  // 11,170,240 and of 11,176,512 and this head are 22,352,902. resnet18_test holds the encoders' numbers.
  const auto head = [](std::int64_t classes) {
    return count_parameters(*fusion_of({.modalities = {"audio", "image"},
                                        .widths = {512, 512},
                                        .stage_channels = {},
                                        .task = {.outputs = classes, .labels = {}}}));
  };
  EXPECT_EQ(head(10), 22350730 - 2 * 11170240);
  EXPECT_EQ(head(6), 22352902 - 11170240 - 11176512);
}

TEST(Concat, RefusesOptions) { expect_refused<poise::Fusion>("hidden = 2", "hidden"); }

}  // namespace

POISE_CONFORMANCE("");
