// MLA's training and prediction against values that tests/oracles/mla.py derived from the formulas before this plugin
// was written.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mla_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"

namespace {

using namespace mla_test;
using nlohmann::json;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::refusal;
using poise::testing::tensor_of;

void expect_near(const Tensor& actual, const Tensor& expected, const std::string& what) {
  EXPECT_LT(difference(actual, expected), 1e-9) << what;
}

void expect_step(const Turn& turn, const Tensor& p, const json& expected, bool is_first) {
  EXPECT_NEAR(turn.loss, expected.at("loss").get<double>(), 1e-11);
  expect_near(turn.weight_gradient, tensor_of(expected.at("dW")), "dW");
  expect_near(turn.projected, tensor_of(expected.at("projected")), "projected dW");
  expect_near(turn.bias_gradient, tensor_of(expected.at("db")), "db");
  expect_near(p, tensor_of(expected.at("P")), "P");
  ASSERT_EQ(turn.updated.size(), 4U);
  expect_near(turn.updated[0], tensor_of(expected.at("U")), "U");
  expect_near(turn.updated[1], tensor_of(expected.at("u")), "u");
  expect_near(turn.updated[2], tensor_of(expected.at("W")), "W");
  expect_near(turn.updated[3], tensor_of(expected.at("b")), "b");
  if (is_first) return;
  EXPECT_GT(difference(turn.projected, tensor_of(expected.at("mistake_added"))), 0.01);
  if (expected.contains("mistake_elementwise_P")) {
    EXPECT_GT(difference(p, tensor_of(expected.at("mistake_elementwise_P"))), 0.001);
  }
}

class Training : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};
INSTANTIATE_TEST_SUITE_P(Mla, Training,
                         ::testing::Values(std::pair{"two", "two"}, std::pair{"two", "two_elementwise"},
                                           std::pair{"three", "three"}));

TEST_P(Training, TurnsOfTheModalities) {
  const auto all = oracle("mla").at("training");
  const auto& data = all.at(GetParam().first);
  const auto& expected = all.at(GetParam().second);
  const auto k = data.at("k").get<int>();
  const auto& start = data.at("start");
  const Tensor head_weight = tensor_of(start.at("W"));
  Encoders network(k, head_weight.size(1), head_weight.size(0));
  for (std::size_t m = 0; m < static_cast<std::size_t>(k); ++m) {
    network.set(m, tensor_of(start.at("U").at(m)), tensor_of(start.at("u").at(m)));
  }
  Descent trainer(network, data.at("rate").get<double>());
  trainer.count = data.at("batches").get<std::int64_t>();
  const auto plugin = make<poise::Modulation>("projection = " + expected.at("projection").dump());
  plugin->begin(trainer);
  trainer.start_head(head_weight, tensor_of(start.at("b")));
  std::vector<Tensor> projections;
  trainer.after_update = [&] {
    Look look;
    plugin->visit(look);
    projections.push_back(look.tensors.at("projection"));
  };

  const Tensor inputs = tensor_of(data.at("inputs"));
  const Tensor targets = tensor_of(data.at("targets")).to(at::kLong);
  for (std::int64_t epoch = 0; epoch < inputs.size(0); ++epoch) {
    trainer.current_epoch = epoch;
    for (trainer.current_batch = 0; trainer.current_batch < trainer.count; ++trainer.current_batch) {
      const auto i = trainer.current_batch;
      plugin->step(batch_of(inputs[epoch][i], targets[epoch][i]), trainer);
      ++trainer.steps;
    }
  }

  const auto& steps = expected.at("steps");
  ASSERT_EQ(trainer.turns.size(), steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE("turn " + std::to_string(i));
    expect_step(trainer.turns[i], projections[i], steps[i], i == 0);
  }
  EXPECT_GT(std::abs(trainer.turns[1].loss - steps[1].at("mistake_joint_loss").get<double>()), 1e-3);
  EXPECT_GT(difference(trainer.turns[1].projected, tensor_of(steps[1].at("mistake_not_normalised"))), 0.01);
}

/// The plugin's prediction of the subsets, of features that are the oracle's logits and a head that changes nothing.
Tensor predicted(const Tensor& logits, const std::vector<poise::Subset>& subsets,
                 const std::string& options) {
  Encoders network(static_cast<int>(logits.size(0)), logits.size(2), logits.size(2));
  Descent trainer(network);
  const auto plugin = make<poise::Modulation>(options);
  plugin->begin(trainer);
  trainer.start_head(at::eye(logits.size(2), at::kDouble), at::zeros({logits.size(2)}, at::kDouble));
  const at::NoGradGuard no_grad;
  return plugin->predict(batch_of(logits, at::zeros({logits.size(1)}, at::kLong)), subsets, trainer);
}

void expect_prediction(const Tensor& logits, const json& expected, const std::string& options) {
  std::vector<poise::Subset> subsets;
  for (const auto& one : expected) subsets.push_back({one.at("subset").get<std::uint32_t>()});
  const Tensor z = predicted(logits, subsets, options);
  for (std::size_t s = 0; s < expected.size(); ++s) {
    expect_near(z[static_cast<std::int64_t>(s)], tensor_of(expected[s].at("z")),
                "subset " + std::to_string(subsets[s].bits));
  }
}

TEST(Mla, PredictsByTheEntropiesOfEachSample) {
  const auto predictions = oracle("mla").at("prediction");
  for (const std::string name : {"two", "three"}) {
    SCOPED_TRACE(name);
    const auto& expected = predictions.at(name);
    const Tensor logits = tensor_of(expected.at("logits"));
    expect_prediction(logits, expected.at("subsets"), "");
    const Tensor z = predicted(logits, {poise::Subset::all(expected.at("k").get<int>())}, "")[0];
    expect_near(z, tensor_of(expected.at("z")), "z");
    EXPECT_GT(difference(z, tensor_of(expected.at("mistake_batch_gate"))), 0.01);
    EXPECT_GT(difference(z, tensor_of(expected.at("mistake_mean"))), 0.01);
  }
}

TEST(Mla, PredictsByFixedWeights) {
  const auto predictions = oracle("mla").at("prediction");
  for (const std::string name : {"two", "three"}) {
    SCOPED_TRACE(name);
    const auto& expected = predictions.at(name);
    const auto& fixed = expected.at("fixed");
    const Tensor logits = tensor_of(expected.at("logits"));
    expect_prediction(logits, fixed.at("z"), "gate = \"fixed\"\nalphas = " + fixed.at("alpha").dump());
    const Tensor equal =
        predicted(logits, {poise::Subset::all(expected.at("k").get<int>())}, "gate = \"fixed\"")[0];
    expect_near(equal, tensor_of(expected.at("mistake_mean")), "equal weights");
  }
}

TEST(Mla, DeclaresWhatItDoes) {
  const auto needs = make<poise::Modulation>()->requirements(3);
  EXPECT_TRUE(needs.replaces_fusion);
  EXPECT_TRUE(needs.classification);
  EXPECT_FALSE(make<poise::Modulation>("gate = \"fixed\"")->requirements(3).classification);
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.backward_passes_per_step, 3);
  EXPECT_EQ(needs.subsets_per_step, 1);
}

TEST(Mla, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("projection = \"matrix\"", "scalar");
  poise::testing::expect_refused<poise::Modulation>("alphas = [0.5, 0.5]", "modulation.gate = \"fixed\"");
  poise::testing::expect_refused<poise::Modulation>("gate = \"fixed\"\nalphas = [0.0, 1.0]",
                                                    "greater than 0");

  Encoders network(2, 4, 3);
  Descent trainer(network);
  const auto three = make<poise::Modulation>("gate = \"fixed\"\nalphas = [0.2, 0.3, 0.5]");
  EXPECT_NE(refusal([&] { three->begin(trainer); }).find("3 weights, and there are 2 modalities"),
            std::string::npos);

  const auto plugin = make<poise::Modulation>();
  network.other_width = 7;
  EXPECT_NE(refusal([&] { plugin->begin(trainer); }).find("one width"), std::string::npos);
}

}  // namespace

POISE_CONFORMANCE("");
