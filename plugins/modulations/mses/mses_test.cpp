// MSES's losses, freezing and snapshots against values that tests/oracles/mses.py derived from the rule, with a
// count of epochs as the model, before this plugin was written.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
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
using poise::Role;
using poise::Split;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

/// A parameter for each encoder and each head counts the epochs that updated it. The shares of the logits of the
/// validation split, [k, N, C], are the test's.
class Counting : public poise::testing::FixedLogits {
 public:
  explicit Counting(int modalities) : FixedLogits(modalities) {
    for (int m = 0; m < 2 * modalities; ++m) counts.push_back(at::zeros({}, at::kLong));
  }

  using FixedLogits::parameters;
  std::vector<Tensor> parameters(Role role, int m) const override {
    if (role != Role::encoder && role != Role::head) throw std::logic_error("parameters");
    return {counts.at(static_cast<std::size_t>(role == Role::encoder ? m : modalities() + m))};
  }
  Tensor share(const Batch& batch, int m) override { return shares[m].index_select(0, batch.ids); }

  std::vector<Tensor> counts;  ///< of the encoders, then of the heads
  Tensor shares;
};

class Freezer : public poise::testing::NoUpdates {
 public:
  void freeze(const std::vector<Tensor>& parameters) override {
    frozen.insert(frozen.end(), parameters.begin(), parameters.end());
  }

  bool is_frozen(const Tensor& parameter) const {
    return std::any_of(frozen.begin(), frozen.end(), [&](const Tensor& f) { return f.is_same(parameter); });
  }

  std::vector<Tensor> frozen;
};

/// The loss of a sample is its only logit.
class LogitIsLoss : public poise::testing::PlainObjective {
 public:
  Tensor losses(const Tensor& logits, const Tensor& /*targets*/) const override {
    return logits.select(-1, 0);
  }
};

/// A validation split in batches of these sizes, and snapshots of the counts.
class Epochs : public poise::testing::RecordingTrainer {
 public:
  explicit Epochs(Counting& network) : RecordingTrainer(network), network_(network) {}

  poise::Optimizer& optimizer() override { return freezer; }
  std::int64_t samples(Split split) const override {
    EXPECT_EQ(split, Split::validation);
    return targets.size(0);
  }
  void for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) override {
    EXPECT_EQ(split, Split::validation);
    EXPECT_FALSE(ids.defined());
    std::int64_t first = 0;
    for (const auto size : sizes) {
      Batch batch;
      batch.ids = at::arange(first, first + size, at::kLong);
      batch.targets = targets.slice(0, first, first + size);
      if (!see(batch)) return;
      first += size;
    }
    EXPECT_EQ(first, targets.size(0));
  }
  void snapshot(const std::string& name) override {
    Kept kept{.epoch = current_epoch, .counts = {}};
    for (const auto& count : network_.counts) kept.counts.push_back(count.clone());
    snapshots[name] = kept;
  }
  void restore(const std::string& name) override {
    const Kept& kept = snapshots.at(name);
    for (std::size_t i = 0; i < kept.counts.size(); ++i) network_.counts[i].copy_(kept.counts[i]);
    restored = kept.epoch;
  }
  void stop() override { stopped = true; }

  /// An epoch of training: all that is not frozen counts on.
  void train() {
    restored = -1;
    for (auto& count : network_.counts) {
      if (!freezer.is_frozen(count)) count.add_(1);
    }
  }

  struct Kept {
    std::int64_t epoch = -1;
    std::vector<Tensor> counts;
  };
  Freezer freezer;
  Tensor targets;
  std::vector<std::int64_t> sizes;
  std::map<std::string, Kept> snapshots;
  std::int64_t restored = -1;  ///< the epoch whose snapshot came back last in this epoch
  bool stopped = false;

 private:
  Counting& network_;
};

/// With losses that the test chooses.
class ChosenLosses : public Epochs {
 public:
  using Epochs::Epochs;
  const poise::Objective& objective() override { return objective_; }

 private:
  LogitIsLoss objective_;
};

/// `mses` made anew from its state, as after a restart.
std::shared_ptr<poise::Modulation> restarted(poise::Modulation& mses, const std::string& options,
                                             poise::Trainer& trainer) {
  poise::testing::StoredState stored;
  mses.visit(stored);
  stored.restoring = true;
  auto again = make<poise::Modulation>(options);
  again->visit(stored);
  again->begin(trainer);
  stored.tensors_now = true;
  again->visit(stored);
  return again;
}

/// Follows a case epoch by epoch. `restarts`: after each the plugin is made anew.
void follow(const nlohmann::json& c, bool restarts) {
  const auto k = c.at("k").get<std::size_t>();
  const Tensor losses = tensor_of(c.at("losses"));
  const std::string options = "patience = " + c.at("patience").dump();
  Counting network(static_cast<int>(k));
  ChosenLosses trainer(network);
  trainer.targets = at::zeros({4}, at::kLong);
  trainer.sizes = {3, 1};
  auto mses = make<poise::Modulation>(options);
  mses->begin(trainer);
  std::vector<std::int64_t> frozen_at(k, -1);
  std::vector<std::vector<std::int64_t>> trained;
  for (std::int64_t e = 0; e < losses.size(0); ++e) {
    SCOPED_TRACE("epoch " + std::to_string(e));
    const auto row = static_cast<std::size_t>(e);
    trainer.current_epoch = e;
    if (restarts && e > 0) mses = restarted(*mses, options, trainer);
    mses->begin_epoch(trainer);
    trainer.train();
    network.shares = losses[e].view({-1, 1, 1}).expand({-1, 4, 1});
    mses->end_epoch(trainer);

    EXPECT_TRUE(at::allclose(trainer.recorded.at("validation_loss"), losses[e], 1e-12, 0));
    EXPECT_EQ(trainer.restored, c.at("restored").at(row).get<std::int64_t>());
    EXPECT_EQ(trainer.stopped, c.at("stopped_at").get<std::int64_t>() == e);
    std::size_t frozen = 0;
    trained.emplace_back();
    for (std::size_t m = 0; m < k; ++m) {
      const Tensor& encoder = network.counts[m];
      const Tensor& head = network.counts[k + m];
      trained.back().push_back(encoder.item<std::int64_t>());
      EXPECT_TRUE(at::equal(encoder, head));
      const bool expected = c.at("frozen").at(row).at(m);
      EXPECT_EQ(trainer.freezer.is_frozen(encoder), expected);
      EXPECT_EQ(trainer.freezer.is_frozen(head), expected);
      EXPECT_EQ(trainer.recorded.at("frozen")[static_cast<std::int64_t>(m)].item<bool>(), expected);
      frozen += expected ? 2 : 0;
      if (expected && frozen_at[m] < 0) frozen_at[m] = e;
      if (!expected) {
        EXPECT_EQ(trainer.snapshots.at("best_" + std::to_string(m)).epoch,
                  c.at("best").at(row).at(m).get<std::int64_t>());
      }
    }
    EXPECT_EQ(trainer.freezer.frozen.size(), frozen) << "each part once, and nothing else";
  }
  EXPECT_EQ(trained, c.at("trained").get<std::vector<std::vector<std::int64_t>>>());
  EXPECT_EQ(frozen_at, c.at("frozen_at").get<std::vector<std::int64_t>>());
  for (const auto& [key, mistake] : c.items()) {
    if (!key.starts_with("mistake_")) continue;
    if (key == "mistake_parts_only") {
      EXPECT_NE(trained, mistake.get<std::vector<std::vector<std::int64_t>>>());
    } else {
      EXPECT_NE(frozen_at, mistake.get<std::vector<std::int64_t>>()) << key;
    }
  }
}

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mses, Oracle, ::testing::Values("two", "swapped", "three", "tie", "never"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, FreezesRestoresAndStops) { follow(oracle("mses").at("cases").at(GetParam()), false); }

TEST_P(Oracle, StateSurvivesRestarts) { follow(oracle("mses").at("cases").at(GetParam()), true); }

TEST(Mses, TakesTheMeanLossOfTheSamples) {
  const auto c = oracle("mses").at("loss");
  const Tensor shares = tensor_of(c.at("shares"));
  Counting network(2);
  network.shares = at::stack({shares, at::zeros_like(shares)});
  Epochs trainer(network);
  trainer.targets = tensor_of(c.at("targets")).to(at::kLong);
  trainer.sizes = c.at("batches").get<std::vector<std::int64_t>>();
  const auto mses = make<poise::Modulation>();
  mses->begin(trainer);
  mses->end_epoch(trainer);
  const Tensor loss = trainer.recorded.at("validation_loss");
  EXPECT_LT(difference(loss[0], tensor_of(c.at("mean"))), 1e-12);
  EXPECT_NEAR(loss[1].item<double>(), std::log(3.0), 1e-12);
  for (const std::string name : {"mistake_sum", "mistake_batch_mean"}) {
    EXPECT_GT(difference(loss[0], tensor_of(c.at(name))), 0.05) << name;
  }
}

TEST(Mses, RefusesWrongOptionsByName) {
  poise::testing::expect_refused<poise::Modulation>("patience = -1", "patience is -1");
  poise::testing::expect_refused<poise::Modulation>("patient = 1", "did you mean 'patience'?");
  EXPECT_TRUE(make<poise::Modulation>()->requirements(2).additive_fusion);
}

}  // namespace

POISE_CONFORMANCE("");
