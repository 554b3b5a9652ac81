#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "mmtm_setting.h"
#include "poise/conformance_test.h"
#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"
#include "poise/testing_fusion.h"
#include "poise/testing_oracle.h"

namespace {

using namespace mmtm_test;
using namespace poise::testing;

TEST(Mmtm, ComputesThePublishedFormula) {
  const torch::NoGradGuard no_grad;
  for (const auto& [options, order] :
       {std::pair{"", "iimtimt"}, std::pair{"stages = [0, 1]\nratio = 1", "imtimti"},
        std::pair{"stages = [0]\nratio = 2", "imtiim"}, std::pair{"stages = [0, -1]", "imtiimt"}}) {
    const Network network(options);
    const auto inputs = inputs_of(6);
    const auto expected = reference(network, inputs, order);
    const auto features = network.encode(inputs);
    ASSERT_EQ(features.size(), 2U);
    EXPECT_LT(difference(features[0], expected[0]), 1e-12) << options;
    EXPECT_LT(difference(features[1], expected[1]), 1e-12) << options;
    const auto p = network.fusion->named_parameters();
    const auto output = network.fusion->forward(features, {});
    const auto weight = torch::cat({p["weight_image"], p["weight_motion"]}, 1);
    EXPECT_LT(difference(output.logits, torch::cat(expected, 1).matmul(weight.t()) + p["bias"]), 1e-12)
        << options;
    EXPECT_TRUE(same_bits(output.feature, torch::cat(features, 1))) << options;
  }
}

TEST(Mmtm, HasTheUnitsAndChannelsOfItsStages) {
  const auto shape = [](const std::string& options, const std::string& name) {
    return Network(options).fusion->named_parameters()[name].sizes().vec();
  };
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(shape("", "transfer1.squeeze.weight"), (Shape{2, 11}));  // stages of 4 and 7 channels, ratio 4
  EXPECT_EQ(shape("", "transfer2.squeeze.weight"), (Shape{2, 11}));  // of 6 and 5
  EXPECT_EQ(shape("", "transfer2.excite_image.weight"), (Shape{6, 2}));
  EXPECT_EQ(shape("", "transfer2.excite_motion.weight"), (Shape{5, 2}));
  EXPECT_EQ(shape("stages = [0]\nratio = 2", "transfer1.squeeze.weight"), (Shape{5, 10}));
}

TEST(Mmtm, ChangesNothingWhereEveryGateIsOne) {
  const torch::NoGradGuard no_grad;
  const Network network("", torch::kFloat32);
  for (auto& parameter : network.fusion->named_parameters()) {
    if (parameter.key().find("excite") != std::string::npos) parameter->zero_();
  }
  const auto inputs = inputs_of(6, torch::kFloat32);
  const auto features = network.encode(inputs);
  auto image = inputs[0];
  for (std::size_t i = 0; i < 3; ++i) image = network.image->stage(i, image);
  auto motion = inputs[1];
  for (std::size_t i = 0; i < 2; ++i) motion = network.motion->stage(i, motion);
  EXPECT_TRUE(same_bits(features[0], network.image->pool(image)));
  EXPECT_TRUE(same_bits(features[1], motion));
}

TEST(Mmtm, HasAGradientForEveryParameterAndAcrossTheModalities) {
  const Network network("ratio = 1");
  auto inputs = inputs_of(6);
  for (auto& input : inputs) input.requires_grad_();
  const auto output = network.fusion->forward(network.encode(inputs), {});
  (output.logits * torch::randn({6, 4}, torch::kFloat64)).sum().backward();
  expect_gradients(*network.fusion);
  expect_gradients(*network.image);
  expect_gradients(*network.motion);

  // Each modality's feature depends on the other's input.
  for (std::size_t m = 0; m < 2; ++m) {
    auto& other = inputs[1 - m];
    other.mutable_grad() = torch::Tensor();
    const auto feature = network.encode(inputs)[m];
    (feature * torch::randn_like(feature)).sum().backward();
    EXPECT_GT(other.grad().abs().max().item<double>(), 0) << m;
  }
}

TEST(Mmtm, SaysWhatItsParametersAreFor) {
  const Network network("stages = [0]\nratio = 2");
  expect_roles(*network.fusion, {{"transfer1.squeeze.weight", poise::Role::bypass, {0, 1}},
                                 {"transfer1.squeeze.bias", poise::Role::bypass, {0, 1}},
                                 {"transfer1.excite_image.weight", poise::Role::bypass, {0}},
                                 {"transfer1.excite_image.bias", poise::Role::bypass, {0}},
                                 {"transfer1.excite_motion.weight", poise::Role::bypass, {1}},
                                 {"transfer1.excite_motion.bias", poise::Role::bypass, {1}},
                                 {"weight_image", poise::Role::head, {0}},
                                 {"weight_motion", poise::Role::head, {1}},
                                 {"bias", poise::Role::head, {}}});
  EXPECT_EQ(network.fusion->named_parameters().size(), network.fusion->roles().size());
}

TEST(Mmtm, ComputesTheSameInBothModesAndForOneRow) {
  const torch::NoGradGuard no_grad;
  const Network network("");
  EXPECT_FALSE(network.fusion->modes_agree()) << "training counts its gates";
  const auto inputs = inputs_of(6);
  const auto logits = [&](const std::vector<torch::Tensor>& given) {
    return network.fusion->forward(network.encode(given), {}).logits;
  };
  const auto training = logits(inputs);
  network.fusion->eval();
  EXPECT_TRUE(same_bits(logits(inputs), training));
  const auto row = logits({inputs[0].narrow(0, 4, 1), inputs[1].narrow(0, 4, 1)});
  EXPECT_LT(difference(row, training.narrow(0, 4, 1)), 1e-12);
}

TEST(Mmtm, ReplacesGatesByTheirOwnAverageUpToTheStep) {
  Block block;
  auto& gate_switch = dynamic_cast<poise::GateSwitch&>(*block.fusion);
  int replacing = 0;
  for (const auto& step : block.values["steps"]) {
    const int replaced = step["replaced"];
    replacing += replaced >= 0 ? 1 : 0;
    // In the first steps nobody has asked for anything yet.
    if (replacing > 0) gate_switch.replace_gates(torch::arange(2).eq(replaced));
    block.fusion->zero_grad();
    const auto x = tensor_of(step["x"]).requires_grad_();
    const auto out = block.gated(x);
    (tensor_of(step["weight"]) * out).sum().backward();
    EXPECT_LT(difference(out, tensor_of(step["out"])), 1e-12);
    EXPECT_LT(difference(x.grad(), tensor_of(step["x_gradients"])), 1e-12);
    EXPECT_LT(gradients_off(block, step["gradients"]), 1e-12);
    const auto buffers = block.fusion->named_buffers();
    const auto averages = torch::stack({buffers["transfer1.average_0"], buffers["transfer1.average_1"]});
    EXPECT_LT(difference(averages, tensor_of(step["averages"])), 1e-12);
    if (replaced < 0) continue;
    EXPECT_GT(difference(out, tensor_of(step["mistake_out_before"])), 1e-3);
    EXPECT_GT(difference(out, tensor_of(step["mistake_out_other"])), 1e-3);
    EXPECT_GT(difference(x.grad(), tensor_of(step["mistake_x_gradients"])), 1e-3);
    EXPECT_GT(gradients_off(block, step["mistake_gradients"]), 1e-3);
  }
  EXPECT_EQ(replacing, 3);
}

TEST(Mmtm, NeitherReplacesNorCountsInAnEvaluation) {
  const torch::NoGradGuard no_grad;
  const Network network("");
  const Network plain("");
  const auto inputs = inputs_of(6);
  EXPECT_TRUE(same_bits(network.encode(inputs)[0], plain.encode(inputs)[0]));
  network.replace_gates(torch::tensor({true, true}));
  EXPECT_FALSE(same_bits(network.encode(inputs)[0], plain.encode(inputs)[0]));
  const auto steps = network.fusion->named_buffers()["transfer2.steps"];
  EXPECT_EQ(steps.item<double>(), 2);
  EXPECT_EQ(steps.scalar_type(), torch::kFloat64) << "as the module";
  std::vector<torch::Tensor> before;
  for (const auto& buffer : network.fusion->buffers()) before.push_back(buffer.clone());
  EXPECT_EQ(before.size(), 6U) << "in each of two modules a count and an average per modality";

  network.fusion->eval();
  plain.fusion->eval();
  const auto features = network.encode(inputs);
  const auto expected = plain.encode(inputs);
  for (std::size_t m = 0; m < 2; ++m) EXPECT_TRUE(same_bits(features[m], expected[m]));
  const auto after = network.fusion->buffers();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i]));

  network.fusion->train();
  EXPECT_GT(difference(network.encode(inputs)[0], expected[0]), 1e-6) << "what was asked for still holds";
}

TEST(Mmtm, ChangesNoBitWhereNothingIsReplaced) {
  const Network network("", torch::kFloat32);
  const Network plain("", torch::kFloat32);
  const auto inputs = inputs_of(6, torch::kFloat32);
  const auto weights = torch::randn({6, 4});
  network.replace_gates(torch::tensor({false, false}));
  for (const auto* each : {&network, &plain}) {
    (each->fusion->forward(each->encode(inputs), {}).logits * weights).sum().backward();
  }
  const auto gradients_of = [](const Network& each) {
    std::vector<torch::Tensor> gradients;
    for (const auto& parameter : each.fusion->parameters()) gradients.push_back(parameter.grad());
    for (const auto& parameter : each.image->parameters()) gradients.push_back(parameter.grad());
    for (const auto& parameter : each.motion->parameters()) gradients.push_back(parameter.grad());
    return gradients;
  };
  const auto gradients = gradients_of(network);
  const auto expected = gradients_of(plain);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(same_bits(gradients[i], expected[i])) << i;
}

TEST(Mmtm, IsNotAdditive) {
  const Network network("");
  EXPECT_FALSE(network.fusion->additive());
  EXPECT_THROW(network.fusion->share(0, torch::randn({2, 6})), poise::Error);
}

TEST(Mmtm, RefusesOptionsThatItCannotUse) {
  expect_refused<poise::Fusion>("stage = [0]", "stages");
  expect_refused<poise::Fusion>("stages = []", "fusion.stages must name at least one stage.");
  expect_refused<poise::Fusion>("stages = 1", "stages must be a list of whole numbers");
  expect_refused<poise::Fusion>("ratio = 0", "ratio is 0");
  expect_build_refused(
      "stages = [0, 2]", two(),
      "fusion.stages names stage 2, but the encoder of modality 'motion' has 2 stages: name 0 "
      "to 1, or -1 to -2 from its end");
  expect_build_refused(
      "stages = [-3]", two(),
      "fusion.stages names stage -3, but the encoder of modality 'motion' has 2 stages: name 0 "
      "to 1, or -1 to -2 from its end");
  expect_build_refused("stages = [1, 0]", two(),
                       "fusion.stages must name each stage once and in the order of the encoder of modality "
                       "'image'");
  expect_build_refused("stages = [1, -1]", two(),  // image 1 and 2, but motion 1 twice
                       "fusion.stages must name each stage once and in the order of the encoder of modality "
                       "'motion'");
  expect_build_refused("ratio = 12", two(),
                       "fusion.ratio is 12, but the encoders have only 11 channels together after a stage of "
                       "fusion.stages: set a smaller ratio");
}

TEST(Mmtm, HasNoModuleForAModalityAlone) {
  const torch::NoGradGuard no_grad;
  const Network pair("");
  poise::FusionSpec one{
      .modalities = {"image"}, .widths = {6}, .stage_channels = {{3, 4, 6}}, .task = two().task};
  const auto fusion = make<poise::Fusion>();
  fusion->build(one);
  fusion->to(torch::kFloat64);
  EXPECT_EQ(fusion->parameters().size(), 2U);
  const auto x = torch::randn({5, 1, 4, 4}, torch::kFloat64);
  const auto f = dynamic_cast<poise::IntermediateFusion&>(*fusion).encode({pair.image.get()}, {x});
  auto expected = x;
  for (std::size_t i = 0; i < 3; ++i) expected = pair.image->stage(i, expected);
  ASSERT_EQ(f.size(), 1U);
  EXPECT_TRUE(same_bits(f[0], pair.image->pool(expected)));
  const auto p = fusion->named_parameters();
  EXPECT_LT(difference(fusion->forward(f, {}).logits, f[0].matmul(p["weight_image"].t()) + p["bias"]), 1e-12);
}

TEST(Mmtm, RefusesNetworksThatItCannotUse) {
  auto spec = two();
  spec.stage_channels[1].clear();
  expect_build_refused(
      "", spec,
      "mmtm acts between the stages of the encoders, and that of modality 'motion' has none: "
      "choose an encoder that runs in stages for it, or another fusion");
  spec.stage_channels.clear();
  expect_build_refused("", spec,
                       "mmtm acts between the stages of the encoders, and that of modality 'image' has none: "
                       "choose an encoder that runs in stages for it, or another fusion");
  spec = two();
  spec.modalities.emplace_back("text");
  spec.widths.push_back(4);
  spec.stage_channels.push_back({3, 4});
  expect_build_refused("", spec, "mmtm joins 2 modalities, and this run has 3: choose another fusion");
}

}  // namespace

POISE_CONFORMANCE("");
