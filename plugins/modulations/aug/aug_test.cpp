// AUG's training, growth and prediction against values that tests/oracles/aug.py derived from the formulas before this
// plugin was written.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "aug_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"

namespace {

using namespace aug_test;
using poise::testing::difference;

void expect_near(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LT(difference(actual, expected), 1e-9) << what;
}

void expect_turn(const Turn& turn, const json& expected) {
  EXPECT_NEAR(turn.loss, expected.at("loss").get<double>(), 1e-11);
  expect_near(turn.weight_gradient, tensor_of(expected.at("dW")), "dW");
  expect_near(turn.bias_gradient, tensor_of(expected.at("db")), "db");
  std::vector<std::pair<std::string, Tensor>> parameters;
  for (const std::string name : {"U", "u", "E", "e"})
    parameters.emplace_back(name, tensor_of(expected.at(name)));
  for (const auto& layer : expected.at("layers")) {
    parameters.emplace_back("an added layer's weight", tensor_of(layer.at("weight")));
    parameters.emplace_back("an added layer's bias", tensor_of(layer.at("bias")));
  }
  for (const std::string name : {"W", "b"}) parameters.emplace_back(name, tensor_of(expected.at(name)));
  ASSERT_EQ(turn.updated.size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    expect_near(turn.updated[i], parameters[i].second, parameters[i].first);
  }
  for (const std::string mistake : {"plus", "without", "first"}) {
    const std::string field = "mistake_loss_" + mistake;
    if (!expected.contains(field)) continue;
    EXPECT_GT(std::abs(turn.loss / expected.at(field).get<double>() - 1), 1e-3) << mistake;
  }
  if (expected.at("modality").get<int>() == 1) {
    EXPECT_GT(std::abs(turn.loss - expected.at("mistake_loss_head").get<double>()), 1e-4);
  }
  if (expected.contains("mistake_dW_flows")) {
    EXPECT_GT(difference(turn.weight_gradient, tensor_of(expected.at("mistake_dW_flows"))), 1e-3);
  }
}

/// Four epochs on the oracle's data.
void train(Setting& setting) {
  const auto& data = setting.data;
  const Tensor inputs = tensor_of(data.at("inputs"));
  const Tensor targets = tensor_of(data.at("targets")).to(at::kLong);
  setting.plugin->begin(setting.trainer);
  for (std::int64_t epoch = 0; epoch < inputs.size(0); ++epoch) {
    SCOPED_TRACE("epoch " + std::to_string(epoch));
    setting.begin_epoch(epoch);
    for (std::int64_t i = 0; i < inputs.size(1); ++i) {
      setting.plugin->step(batch_of(inputs[epoch][i], targets[epoch][i]), setting.trainer);
    }
    setting.plugin->end_epoch(setting.trainer);
    const auto& expected = data.at("epochs").at(static_cast<std::size_t>(epoch));
    expect_near(setting.state().tensors.at("scores"), tensor_of(expected.at("scores")), "scores");
    EXPECT_NEAR(setting.trainer.recorded.at("ratio").item<double>(), expected.at("ratio").get<double>(),
                1e-9);
  }
}

TEST(Aug, TrainsInTurnsAndGrows) {
  Setting setting;
  train(setting);
  const auto& steps = setting.data.at("steps");
  ASSERT_EQ(setting.trainer.turns.size(), steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE("turn " + std::to_string(i));
    expect_turn(setting.trainer.turns[i], steps[i]);
  }
  EXPECT_GT(difference(setting.trainer.head[0].detach(), tensor_of(setting.data.at("mistake_untrained"))),
            1e-3);
  EXPECT_EQ(setting.trainer.names, (std::vector<std::string>{"growth", "embedding_0", "embedding_1", "head",
                                                             "layer_1_1", "layer_0_1", "layer_1_2"}));
  EXPECT_TRUE(at::equal(setting.trainer.recorded.at("layers"), at::tensor({1.0, 2.0}, at::kDouble)));
}

TEST(Aug, PredictsTheWeightedSum) {
  Setting setting;
  train(setting);
  const auto expected = oracle("aug").at("prediction");
  const Tensor inputs = tensor_of(expected.at("inputs"));
  const auto batch = batch_of(inputs, at::zeros({inputs.size(1)}, at::kLong));
  std::vector<poise::Subset> subsets;
  for (const auto& one : expected.at("subsets")) subsets.push_back({one.at("subset").get<std::uint32_t>()});
  const at::NoGradGuard no_grad;
  const Tensor z = setting.plugin->predict(batch, subsets, setting.trainer);
  for (std::size_t s = 0; s < subsets.size(); ++s) {
    expect_near(z[static_cast<std::int64_t>(s)], tensor_of(expected.at("subsets").at(s).at("z")),
                "subset " + std::to_string(subsets[s].bits));
  }
  for (const std::string mistake : {"mean", "swapped", "without_layers"}) {
    EXPECT_GT(difference(z[-1], tensor_of(expected.at("mistake_" + mistake))), 1e-3) << mistake;
  }
  // Weights from before the layers were added predict without them.
  setting.trainer.growth.zero_();
  const Tensor before = setting.plugin->predict(batch, {poise::Subset::all(2)}, setting.trainer)[0];
  expect_near(before, tensor_of(expected.at("mistake_without_layers")), "without layers");
}

/// A resumed run has the same layers, added in the same order, whatever their modalities.
TEST(Aug, AddsItsLayersAgainAfterAResume) {
  Setting whole;
  train(whole);
  auto saved = whole.state();
  saved.is_giving = true;
  Setting resumed(false);
  const auto tensors = std::exchange(saved.tensors, {});
  resumed.plugin->visit(saved);
  resumed.plugin->begin(resumed.trainer);
  saved.tensors = tensors;
  resumed.plugin->visit(saved);
  EXPECT_EQ(resumed.trainer.names, whole.trainer.names);
  EXPECT_TRUE(at::equal(resumed.trainer.growth, whole.trainer.growth));
  // It goes on growing where it stood.
  for (Setting* setting : {&whole, &resumed}) {
    setting->trainer.follows = false;
    setting->trainer.total = 8;
    setting->begin_epoch(4);
  }
  EXPECT_EQ(whole.trainer.names.back(), "layer_0_2");
  EXPECT_EQ(resumed.trainer.names, whole.trainer.names);
  EXPECT_EQ(resumed.state().integers, whole.state().integers);
}

TEST(Aug, GivesTheWeakerModalityALayer) {
  const auto cases = oracle("aug").at("assignment");
  for (const auto& expected : cases) {
    const auto ratio = expected.at("ratio").get<double>();
    SCOPED_TRACE(ratio);
    Setting setting(false, "tolerance = " + expected.at("tolerance").dump());
    setting.plugin->begin(setting.trainer);
    setting.begin_epoch(0);
    setting.begin_epoch_after(1, 3 * ratio, 3);
    const int modality = expected.at("modality").get<int>();
    EXPECT_EQ(setting.trainer.names.back(),
              modality < 0 ? "head" : "layer_" + std::to_string(modality) + "_1");
  }
}

TEST(Aug, LooksAtTheScoresTenTimes) {
  const auto cases = oracle("aug").at("schedule");
  for (const auto& expected : cases) {
    const auto epochs = expected.at("epochs").get<std::int64_t>();
    SCOPED_TRACE(epochs);
    const auto checked = expected.at("checked").get<std::vector<std::int64_t>>();
    Setting setting(false);
    setting.trainer.total = epochs;
    setting.plugin->begin(setting.trainer);
    setting.begin_epoch(0);
    for (std::int64_t epoch = 1; epoch < epochs; ++epoch) {
      const auto before = setting.trainer.names.size();
      setting.begin_epoch_after(epoch, 2, 1);
      const bool grew = setting.trainer.names.size() > before;
      EXPECT_EQ(grew, std::find(checked.begin(), checked.end(), epoch - 1) != checked.end())
          << "epoch " << epoch;
    }
  }
}

TEST(Aug, StartsItsLayersByXavier) {
  torch::manual_seed(3);
  Setting setting(false, "");
  setting.plugin = make<poise::Modulation>("hidden = 2000");
  setting.plugin->begin(setting.trainer);
  setting.begin_epoch(0);
  setting.begin_epoch_after(1, 2, 1);
  ASSERT_EQ(setting.trainer.names.back(), "layer_1_1");
  const Tensor& weight = setting.network.own.at(setting.network.own.size() - 2).second;
  const double expected = std::sqrt(2.0 / static_cast<double>(weight.size(0) + weight.size(1)));
  const double five_errors = 5 / std::sqrt(2 * static_cast<double>(weight.numel()));
  EXPECT_NEAR(weight.std().item<double>() / expected, 1, five_errors);
  EXPECT_EQ(setting.network.own.back().second.abs().max().item<double>(), 0);
}

TEST(Aug, DeclaresWhatItDoes) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_TRUE(needs.replaces_fusion);
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, 2);
  EXPECT_EQ(needs.backward_passes_per_step, 2);
}

TEST(Aug, RefusesWhatItCannotUse) {
  EXPECT_TRUE(make<poise::Modulation>()->requirements(2).classification);
  poise::testing::expect_refused<poise::Modulation>("weights = [1.0]", "two numbers greater than 0");
  poise::testing::expect_refused<poise::Modulation>("weights = [0.0, 1.0]", "two numbers greater than 0");
  poise::testing::expect_refused<poise::Modulation>("hidden = 0", "hidden");
}

}  // namespace

POISE_CONFORMANCE("hidden = 8");
