// G-Blending's weights, schedule and loss, on probes and logits stored by tests/oracles/gblending.py.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/heads.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::Probe;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

/// The features are the heads' logits, three of them; FixedLogits shows the joint ones.
class ThreeLogits : public poise::testing::FixedLogits {
 public:
  explicit ThreeLogits(int modalities) : FixedLogits(modalities) {}

  std::int64_t outputs() const override { return 3; }
  std::int64_t width(int /*m*/) const override { return 3; }
  Tensor encode(const Batch& /*batch*/, int m) override { return features.at(static_cast<std::size_t>(m)); }

  std::vector<Tensor> features;
};

/// Answers probes with `probes`, one after the other, and again from the first.
class ProbedTrainer : public poise::testing::RecordingTrainer {
 public:
  explicit ProbedTrainer(ThreeLogits& network) : RecordingTrainer(network) {}

  std::int64_t epochs() const override { return all_epochs; }

  Probe probe(std::int64_t length, const std::function<Tensor(const Batch&)>& loss) override {
    lengths.push_back(length);
    losses.push_back(loss(probed));
    return probes.at((lengths.size() - 1) % probes.size());
  }

  /// Every head passes the features on.
  void add_module(const std::string& /*name*/, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& /*modalities*/) override {
    const auto linear = std::dynamic_pointer_cast<torch::nn::LinearImpl>(module);
    ASSERT_NE(linear, nullptr);
    linear->to(at::kDouble);
    const at::NoGradGuard no_grad;
    linear->weight.copy_(at::eye(3, at::kDouble));
    linear->bias.zero_();
  }

  std::int64_t all_epochs = 25;
  Batch probed;  ///< the batch that a probe trains on
  std::vector<Probe> probes;
  std::vector<std::int64_t> lengths;
  std::vector<Tensor> losses;
};

/// Modalities and joint model with the logits of the oracle's `loss`, and the probes of its case of the same name.
struct Bench {
  explicit Bench(const std::string& name)
      : values(oracle("gblending")),
        one_case(values["cases"][name]),
        blended(values["loss"][one_case["k"] == 2 ? "two" : "three"]),
        network(one_case["k"].get<int>()),
        trainer(network) {
    for (std::size_t i = 0; i < one_case["before"].size(); ++i) {
      const auto& before = one_case["before"][i];
      const auto& after = one_case["after"][i];
      trainer.probes.push_back({.train_before = before[0].get<double>(),
                                .validation_before = before[1].get<double>(),
                                .train_after = after[0].get<double>(),
                                .validation_after = after[1].get<double>()});
    }
    for (const auto& features : blended["unimodal"]) {
      network.features.push_back(tensor_of(features).requires_grad_());
    }
    joint = network.show(tensor_of(blended["joint"]).unsqueeze(0));
    batch.targets = tensor_of(blended["targets"]).to(at::kLong);
    trainer.probed = batch;
  }

  Tensor weights() const {
    return at::cat({trainer.recorded.at("weight"), trainer.recorded.at("joint_weight").unsqueeze(0)});
  }

  nlohmann::json values;
  nlohmann::json one_case;
  nlohmann::json blended;
  ThreeLogits network;
  ProbedTrainer trainer;
  Tensor joint;  ///< [1, B, C]
  Batch batch;
};

TEST(Gblending, HasTheOraclesWeights) {
  for (const std::string name : {"two", "three", "no_overfitting", "untrained"}) {
    Bench bench(name);
    const auto plugin = make<poise::Modulation>();
    plugin->begin(bench.trainer);
    plugin->begin_epoch(bench.trainer);
    plugin->loss(bench.batch, bench.trainer);
    const Tensor weights = bench.weights();
    EXPECT_TRUE(at::allclose(weights, tensor_of(bench.one_case["weights"]), 1e-9, 0)) << name << weights;
    for (const auto& [key, mistake] : bench.one_case.items()) {
      if (!key.starts_with("mistake_")) continue;
      EXPECT_GT(poise::testing::difference(weights, tensor_of(mistake)), 0.02) << name << ' ' << key;
    }
  }
}

TEST(Gblending, ProbesEachModalityAndThenTheJointModel) {
  Bench bench("three");
  const auto plugin = make<poise::Modulation>();
  plugin->begin(bench.trainer);
  plugin->begin_epoch(bench.trainer);
  const auto& objective = bench.trainer.objective();
  ASSERT_EQ(bench.trainer.losses.size(), 4U);
  for (std::size_t m = 0; m < 3; ++m) {
    EXPECT_EQ(bench.trainer.losses[m].item<double>(),
              objective.loss(bench.network.features[m], bench.batch).item<double>());
  }
  EXPECT_EQ(bench.trainer.losses[3].item<double>(),
            objective.loss(bench.joint[0], bench.batch).item<double>());
}

TEST(Gblending, HasTheOraclesLossAndGradients) {
  for (const std::string name : {"two", "three"}) {
    Bench bench(name);
    const auto plugin = make<poise::Modulation>();
    plugin->begin(bench.trainer);
    plugin->begin_epoch(bench.trainer);
    const Tensor loss = plugin->loss(bench.batch, bench.trainer);
    loss.backward();
    const double expected = bench.blended["loss"];
    EXPECT_NEAR(loss.item<double>() / expected, 1, 1e-9) << name;
    EXPECT_GT(std::abs(loss.item<double>() / bench.blended["mistake_unweighted"].get<double>() - 1), 0.05)
        << name;
    for (std::size_t m = 0; m < bench.network.features.size(); ++m) {
      const Tensor gradient = tensor_of(bench.blended["unimodal_gradient"][m]);
      EXPECT_LT(poise::testing::difference(bench.network.features[m].grad(), gradient), 1e-9) << name << m;
    }
    const Tensor gradient = tensor_of(bench.blended["joint_gradient"]);
    EXPECT_LT(poise::testing::difference(bench.joint.grad()[0], gradient), 1e-9) << name;
  }
}

TEST(Gblending, EstimatesWhenTheOraclesScheduleSays) {
  const auto schedule = oracle("gblending")["schedule"];
  const std::int64_t epochs = schedule["epochs"];
  const std::int64_t super_epoch = schedule["super_epoch"];
  const std::string online = "super_epoch = " + std::to_string(super_epoch);
  struct Expected {
    std::string options;
    std::string mode;
    std::int64_t length;
  };
  for (const auto& expected : {Expected{online, "online", super_epoch},
                               {"mode = \"offline\"", "offline", epochs},
                               {online + "\nprobe_epochs = 3", "online", 3}}) {
    Bench bench("two");
    bench.trainer.all_epochs = epochs;
    const auto plugin = make<poise::Modulation>(expected.options);
    plugin->begin(bench.trainer);
    std::vector<std::int64_t> estimated;
    for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
      bench.trainer.current_epoch = epoch;
      bench.trainer.lengths.clear();
      plugin->begin_epoch(bench.trainer);
      if (bench.trainer.lengths.empty()) continue;
      estimated.push_back(epoch);
      EXPECT_EQ(bench.trainer.lengths, std::vector<std::int64_t>(3, expected.length)) << expected.options;
    }
    EXPECT_EQ(estimated, schedule[expected.mode].get<std::vector<std::int64_t>>()) << expected.options;
  }
}

TEST(Gblending, KeepsItsWeightsOverARestart) {
  Bench bench("three");
  auto plugin = make<poise::Modulation>();
  plugin->begin(bench.trainer);
  plugin->begin_epoch(bench.trainer);
  const Tensor before = plugin->loss(bench.batch, bench.trainer);
  poise::testing::StoredState stored;
  plugin->visit(stored);
  stored.restoring = true;
  plugin = make<poise::Modulation>();
  plugin->visit(stored);
  plugin->begin(bench.trainer);
  stored.tensors_now = true;
  plugin->visit(stored);
  EXPECT_TRUE(poise::testing::same_bits(plugin->loss(bench.batch, bench.trainer), before));
}

TEST(Gblending, NamesTheModelWhoseProbeIsNotFinite) {
  for (const auto& [model, part] :
       {std::pair<std::size_t, std::string>{1, "'1' alone"}, {2, "the joint model"}}) {
    Bench bench("two");
    bench.trainer.probes.at(model).validation_after = std::numeric_limits<double>::quiet_NaN();
    const auto plugin = make<poise::Modulation>();
    plugin->begin(bench.trainer);
    try {
      plugin->begin_epoch(bench.trainer);
      ADD_FAILURE() << "a loss of nan was accepted";
    } catch (const poise::Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

TEST(Gblending, RefusesWrongOptionsByName) {
  using poise::testing::expect_refused;
  expect_refused<poise::Modulation>("mode = \"sometimes\"", "offline");
  expect_refused<poise::Modulation>("super_epoch = 0", "super_epoch");
  expect_refused<poise::Modulation>("probe_epochs = -1", "probe_epochs");
  expect_refused<poise::Modulation>("mode = \"offline\"\nsuper_epoch = 10",
                                    "modulation.super_epoch has no use");
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.backward_passes_per_step, 1);
}

}  // namespace

POISE_CONFORMANCE("super_epoch = 2\nprobe_epochs = 1");
