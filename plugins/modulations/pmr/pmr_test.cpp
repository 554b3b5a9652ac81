// PMR's prototypes, slow modalities, losses and gradients against values stored by tests/oracles/pmr.py.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

std::vector<Tensor> tensors_of(const nlohmann::json& list) {
  std::vector<Tensor> tensors;
  for (const auto& element : list) tensors.push_back(tensor_of(element));
  return tensors;
}

/// Inputs are features; the logits are z = sum_m f_m W_m^T + b.
class Linear : public poise::testing::FixedLogits {
 public:
  Linear(std::vector<Tensor> weights, Tensor bias)
      : FixedLogits(static_cast<int>(weights.size())), w(std::move(weights)), b(std::move(bias)) {}

  std::int64_t outputs() const override { return b.size(0); }
  std::int64_t width(int m) const override { return w.at(static_cast<std::size_t>(m)).size(1); }
  Tensor encode(const Batch& batch, int m) override { return batch.inputs.at(static_cast<std::size_t>(m)); }
  Tensor logits(const Batch& batch) override {
    Tensor z = b;
    for (std::size_t m = 0; m < w.size(); ++m) z = z + at::matmul(batch.inputs[m], w[m].t());
    return z;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }

  std::vector<Tensor> w;
  Tensor b;
};

/// Its train split is shown in the batches that the test gives, whichever samples are asked for.
class DataTrainer : public poise::testing::RecordingTrainer {
 public:
  explicit DataTrainer(poise::Network& network) : RecordingTrainer(network) {}

  std::int64_t batches() const override { return epoch_batches; }
  std::int64_t samples(poise::Split split) const override {
    EXPECT_EQ(split, poise::Split::train);
    return train_samples;
  }
  void for_each_batch(poise::Split split, const Tensor& ids,
                      const std::function<bool(const Batch&)>& see) override {
    EXPECT_EQ(split, poise::Split::train);
    asked.push_back(ids);
    const at::NoGradGuard no_grad;
    for (const auto& batch : shown) {
      if (!see(batch)) return;
    }
  }

  std::int64_t epoch_batches = 1;
  std::int64_t train_samples = 1;
  std::vector<Batch> shown;
  std::vector<Tensor> asked;
};

/// The prototypes that the plugin keeps, read from its state.
class Prototypes : public poise::State {
 public:
  explicit Prototypes(poise::Modulation& plugin) { plugin.visit(*this); }

  void scalar(const std::string& /*name*/, double& /*value*/) override {}
  void scalar(const std::string& /*name*/, std::int64_t& /*value*/) override {}
  void tensor(const std::string& /*name*/, Tensor& value) override { kept.push_back(value.clone()); }

  std::vector<Tensor> kept;
};

/// The batches of a pass of the oracle.
std::vector<Batch> batches_of(const nlohmann::json& pass) {
  const Tensor labels = tensor_of(pass["labels"]).to(at::kLong);
  std::vector<Batch> batches;
  std::int64_t first = 0;
  for (const std::int64_t size : pass["batches"]) {
    Batch batch;
    batch.targets = labels.slice(0, first, first + size);
    for (const auto& features : tensors_of(pass["features"])) {
      batch.inputs.push_back(features.slice(0, first, first + size));
    }
    batches.push_back(batch);
    first += size;
  }
  return batches;
}

/// A network for features of the oracle's prototypes; its logits do not matter.
Linear network_of_passes() {
  return {{at::zeros({4, 3}, at::kDouble), at::zeros({4, 2}, at::kDouble)}, at::zeros({4}, at::kDouble)};
}

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

/// One batch of the oracle's `steps`, seen by a plugin that has its prototypes.
struct Bench {
  explicit Bench(const std::string& name, const std::string& more_options = "")
      : one_case(oracle("pmr")["steps"][name]),
        network(tensors_of(one_case["W"]), tensor_of(one_case["b"])),
        trainer(network),
        plugin(make<poise::Modulation>("alpha = " + one_case["alpha"].dump() + more_options)) {
    for (auto& weight : network.w) weight.requires_grad_();
    for (const auto& features : one_case["features"]) {
      batch.inputs.push_back(tensor_of(features).requires_grad_());
    }
    batch.targets = tensor_of(one_case["targets"]).to(at::kLong);
    // One sample of each class, with the features of its prototype.
    Batch prototypes;
    prototypes.inputs = tensors_of(one_case["prototypes"]);
    prototypes.targets = at::arange(network.outputs(), at::kLong);
    trainer.shown = {prototypes};
    plugin->begin(trainer);
  }

  Tensor loss() {
    plugin->begin_epoch(trainer);
    return plugin->loss(batch, trainer);
  }
  double joint() { return trainer.objective().loss(network.logits(batch), batch).item<double>(); }

  nlohmann::json one_case;
  Linear network;
  DataTrainer trainer;
  std::shared_ptr<poise::Modulation> plugin;
  Batch batch;
};

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

TEST(Pmr, RefusesTargetsThatAreNoClasses) {
  Bench bench("first_slow");
  bench.plugin->begin_epoch(bench.trainer);
  const Tensor labels = at::zeros({bench.batch.size(), bench.network.outputs()});
  bench.batch.targets = labels;
  bench.trainer.shown.front().targets = labels;
  const std::vector<std::function<void()>> uses = {
      [&] { bench.plugin->loss(bench.batch, bench.trainer); },
      [&] { bench.plugin->begin_epoch(bench.trainer); },
  };
  for (const auto& use : uses) {
    try {
      use();
      ADD_FAILURE() << "labels were accepted";
    } catch (const poise::Error& error) {
      EXPECT_EQ(error.fault(), poise::Fault::usage);
      EXPECT_NE(std::string(error.what()).find("no classes"), std::string::npos) << error.what();
    }
  }
}

TEST(Pmr, RefusesWrongOptionsByName) {
  using poise::testing::expect_refused;
  expect_refused<poise::Modulation>("alpha = -1.0", "alpha is -1");
  expect_refused<poise::Modulation>("mu = 1.5", "mu is 1.5");
  expect_refused<poise::Modulation>("average_from = 0", "average_from");
  expect_refused<poise::Modulation>("window = [5, 3]", "window");
  EXPECT_EQ(make<poise::Modulation>()->requirements(2).min_modalities, 2);
}

}  // namespace

POISE_CONFORMANCE("");
