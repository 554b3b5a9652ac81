// PMR's prototypes, slow modalities, losses and gradients against values stored by tests/oracles/pmr.py.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "pmr_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace pmr_test;
using poise::testing::difference;

using Case = std::tuple<std::string, int>;
class Passes : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Pmr, Passes,
                         ::testing::Combine(::testing::Values("every_class", "missing_class"),
                                            ::testing::Values(1, 2)));

TEST_P(Passes, LeaveTheOraclesPrototypes) {
  const auto& [name, average_from] = GetParam();
  const auto stored = oracle("pmr")["prototypes"][name];
  const std::string from = std::to_string(average_from);
  const auto plugin = make<poise::Modulation>("mu = " + stored["mu"].dump() + "\naverage_from = " + from);
  Linear network = network_of_passes();
  DataTrainer trainer(network);
  plugin->begin(trainer);
  for (const auto& pass : stored["passes"]) {
    trainer.shown = batches_of(pass);
    plugin->begin_epoch(trainer);
    const auto kept = Prototypes(*plugin).kept;
    ASSERT_EQ(kept.size(), 2U);
    for (std::size_t m = 0; m < 2; ++m) {
      const Tensor expected = tensor_of(pass["average_from_" + from][m]);
      EXPECT_TRUE(at::allclose(kept[m], expected, 1e-9, 1e-13)) << trainer.current_epoch << kept[m];
      for (const std::string mistake : {"mistake_mu_on_new", "mistake_batch_means"}) {
        if (average_from != 2 || !pass.contains(mistake)) continue;
        EXPECT_GT(difference(kept[m], tensor_of(pass[mistake][m])), 0.02) << mistake;
      }
    }
    trainer.current_epoch += 1;
  }
}

TEST(Pmr, TakesATenthOfTheBatches) {
  torch::manual_seed(3);
  const auto all = oracle("pmr")["batches"];
  for (const auto& expected : all) {
    const std::int64_t batches = expected["batches"];
    const std::int64_t taken = expected["taken"];
    Linear network = network_of_passes();
    DataTrainer trainer(network);
    trainer.epoch_batches = batches;
    // The last batch is not full.
    for (const std::int64_t samples : {7 * batches, 7 * batches - (batches > 1 ? 1 : 0)}) {
      trainer.train_samples = samples;
      const auto plugin = make<poise::Modulation>();
      plugin->begin(trainer);
      trainer.asked.clear();
      plugin->begin_epoch(trainer);
      plugin->begin_epoch(trainer);
      ASSERT_EQ(trainer.asked.size(), 2U);
      for (const auto& ids : trainer.asked) {
        EXPECT_EQ(ids.size(0), 7 * taken) << batches;
        EXPECT_EQ(std::get<0>(at::_unique(ids)).size(0), ids.size(0)) << "no sample twice";
        EXPECT_GE(ids.min().item<std::int64_t>(), 0);
        EXPECT_LT(ids.max().item<std::int64_t>(), samples);
      }
      EXPECT_FALSE(at::equal(trainer.asked[0], trainer.asked[1])) << "every epoch draws its own";
    }
  }
}

class Steps : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Pmr, Steps,
                         ::testing::Values("first_slow", "second_slow", "swapped", "equal", "three",
                                           "at_prototype"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Steps, SlowModalitiesLossAndGradients) {
  Bench bench(GetParam());
  const Tensor loss = bench.loss();
  loss.backward();
  EXPECT_TRUE(at::allclose(bench.trainer.recorded.at("s"), tensor_of(bench.one_case["s"]), 1e-9, 0));
  EXPECT_NEAR(loss.item<double>() / bench.one_case["loss"].get<double>(), 1, 1e-9);
  for (const std::string mistake : {"mistake_fast", "mistake_all", "mistake_squared"}) {
    if (!bench.one_case.contains(mistake)) continue;
    EXPECT_GT(std::abs(loss.item<double>() / bench.one_case[mistake].get<double>() - 1), 0.002) << mistake;
  }
  for (std::size_t m = 0; m < bench.network.w.size(); ++m) {
    const auto slow = bench.trainer.recorded.at("slow")[static_cast<std::int64_t>(m)];
    EXPECT_EQ(slow.item<bool>(), bench.one_case["slow"][m].get<bool>()) << m;
    const Tensor of_features = tensor_of(bench.one_case["feature_gradients"][m]);
    EXPECT_LT(difference(bench.batch.inputs[m].grad(), of_features), 1e-9) << m;
    const Tensor of_weights = tensor_of(bench.one_case["W_gradients"][m]);
    EXPECT_LT(difference(bench.network.w[m].grad(), of_weights), 1e-9) << m;
  }
  EXPECT_FALSE(bench.trainer.recorded.at("s").requires_grad());
}

TEST(Pmr, ActsInsideItsWindowAlone) {
  for (const auto& [epoch, is_inside] : {std::pair{2, false}, {3, true}, {5, true}, {6, false}}) {
    Bench bench("first_slow", "\nwindow = [3, 5]");
    bench.trainer.current_epoch = epoch;
    const auto loss = bench.loss().item<double>();
    EXPECT_EQ(loss != bench.joint(), is_inside) << epoch;
    EXPECT_EQ(bench.trainer.asked.size(), is_inside ? 1U : 0U) << epoch;
    EXPECT_EQ(bench.trainer.recorded.contains("slow"), is_inside) << epoch;
  }
}

TEST(Pmr, WithoutWeightItVisitsNoData) {
  Bench bench("first_slow");
  bench.plugin = make<poise::Modulation>("alpha = 0.0");
  bench.plugin->begin(bench.trainer);
  EXPECT_EQ(bench.loss().item<double>(), bench.joint());
  EXPECT_TRUE(bench.trainer.asked.empty());
}

/// The third pass is averaged with the second, wherever the run was interrupted.
TEST(Pmr, KeepsPrototypesAndPassesOverARestart) {
  const auto stored = oracle("pmr")["prototypes"]["every_class"];
  const auto run = [&](std::size_t restart_before) {
    auto plugin = make<poise::Modulation>();
    Linear network = network_of_passes();
    DataTrainer trainer(network);
    plugin->begin(trainer);
    for (std::size_t i = 0; i < stored["passes"].size(); ++i) {
      if (i == restart_before) {
        poise::testing::StoredState state;
        plugin->visit(state);
        state.restoring = true;
        plugin = make<poise::Modulation>();
        plugin->visit(state);
        plugin->begin(trainer);
        state.tensors_now = true;
        plugin->visit(state);
      }
      trainer.shown = batches_of(stored["passes"][i]);
      plugin->begin_epoch(trainer);
      trainer.current_epoch += 1;
    }
    return Prototypes(*plugin).kept;
  };
  const auto whole = run(100);
  for (const std::size_t before : {1U, 3U}) {
    const auto resumed = run(before);
    for (std::size_t m = 0; m < 2; ++m)
      EXPECT_TRUE(poise::testing::same_bits(resumed[m], whole[m])) << before;
  }
}

TEST(Pmr, RefusesWrongOptionsByName) {
  using poise::testing::expect_refused;
  expect_refused<poise::Modulation>("alpha = -1.0", "alpha is -1");
  expect_refused<poise::Modulation>("mu = 1.5", "mu is 1.5");
  expect_refused<poise::Modulation>("average_from = 0", "average_from");
  expect_refused<poise::Modulation>("window = [5, 3]", "window");
}

TEST(Pmr, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_TRUE(needs.classification);
  EXPECT_TRUE(needs.extra_passes);
}

}  // namespace

POISE_CONFORMANCE("");
