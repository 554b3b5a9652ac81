// What a run offers its modulation beside the step: own modules, passes over data, probes, snapshots, the optimizer.
#include <cmath>
#include <map>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "poise/heads.h"
#include "poise/testing.h"
#include "training/generators.h"
#include "training/run_fixture.h"

namespace poise {
namespace {

using ::testing::HasSubstr;
using testing::same_bits;

/// Calls what a test gives it.
class Hooked : public Modulation {
 public:
  std::function<void(Trainer&)> on_begin;
  std::function<void(Trainer&)> on_begin_epoch;
  std::function<void(Trainer&)> on_end_epoch;
  std::function<torch::Tensor(const Batch&, Trainer&)> on_loss;

  void begin(Trainer& trainer) override {
    if (on_begin) on_begin(trainer);
  }
  void begin_epoch(Trainer& trainer) override {
    if (on_begin_epoch) on_begin_epoch(trainer);
  }
  void end_epoch(Trainer& trainer) override {
    if (on_end_epoch) on_end_epoch(trainer);
  }
  torch::Tensor loss(const Batch& batch, Trainer& trainer) override {
    return on_loss ? on_loss(batch, trainer) : Modulation::loss(batch, trainer);
  }
};

std::vector<torch::Tensor> copies(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> result;
  for (const auto& tensor : tensors) result.push_back(tensor.detach().clone());
  return result;
}

bool same(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same_bits(a[i], b[i].detach())) return false;
  }
  return a.size() == b.size();
}

class ServicesTest : public RunTest {
 protected:
  void SetUp() override {
    RunTest::SetUp();
    use(hooked_);
  }
  std::shared_ptr<Hooked> hooked_ = std::make_shared<Hooked>();
};

TEST_F(ServicesTest, ShowsTheSamplesAskedForWithoutTraining) {
  std::vector<std::int64_t> seen;
  hooked_->on_begin_epoch = [&](Trainer& trainer) {
    if (trainer.epoch() > 0) return;
    EXPECT_EQ(trainer.samples(Split::validation), 20);
    EXPECT_EQ(trainer.batches(), 4) << "of a plain epoch";
    trainer.for_each_batch(Split::train, at::tensor({4, 32, 4}, at::kLong), [&](const Batch& batch) {
      for (std::int64_t i = 0; i < batch.size(); ++i) seen.push_back(batch.ids[i].item<std::int64_t>());
      EXPECT_FALSE(trainer.network().logits(batch).requires_grad());
      return true;
    });
    int batches = 0;
    trainer.for_each_batch(Split::validation, {}, [&](const Batch&) { return ++batches < 2; });
    EXPECT_EQ(batches, 2) << "stops when it is told to";
  };
  run();
  EXPECT_EQ(seen, (std::vector<std::int64_t>{4, 32, 4}));
  const auto cost = result().at("cost");
  EXPECT_GT(cost.at("method_seconds"), 0) << "the loss at least";
  EXPECT_LT(cost.at("method_seconds"), cost.at("train_seconds"));
  EXPECT_EQ(cost.at("encoder_passes_per_step").at("left"), 1) << "the extra passes are reported apart";
  EXPECT_NEAR(cost.at("extra_passes_per_epoch").get<double>(), (3 + 2 * 8) / 33.0 / 3, 1e-12);
}

TEST_F(ServicesTest, RefusesTheTestSplitAndDataInAStep) {
  hooked_->on_begin = [](Trainer& trainer) {
    trainer.for_each_batch(Split::test, {}, [](const Batch&) { return true; });
  };
  EXPECT_THAT(failure(), HasSubstr("it asks for the test split"));
  fresh_plugins();
  use(hooked_);
  hooked_->on_begin = nullptr;
  hooked_->on_loss = [](const Batch& batch, Trainer& trainer) {
    trainer.for_each_batch(Split::train, {}, [](const Batch&) { return true; });
    return trainer.objective().loss(trainer.network().logits(batch), batch);
  };
  EXPECT_THAT(failure(), HasSubstr("it visits data in a training step"));
}

TEST_F(ServicesTest, AProbeLearnsAndPutsEverythingBack) {
  Probe probe;
  hooked_->on_begin_epoch = [&](Trainer& trainer) {
    if (trainer.epoch() != 1) return;
    Network& network = trainer.network();
    const auto before = copies(network.parameters());
    const auto generator = generator_states(torch::kCPU);
    const auto loss = [&](const Batch& batch) {
      at::rand({3});
      return trainer.objective().loss(network.logits(batch), batch);
    };
    double sum = 0;
    trainer.for_each_batch(Split::validation, {}, [&](const Batch& batch) {
      sum += loss(batch).item<double>() * static_cast<double>(batch.size());
      return true;
    });
    set_generator_states(torch::kCPU, generator);
    probe = trainer.probe(20, loss);
    EXPECT_NEAR(probe.validation_before, sum / 20, 1e-6);
    EXPECT_TRUE(same(before, network.parameters()));
    EXPECT_TRUE(same(generator, generator_states(torch::kCPU)));
    for (const auto& parameter : network.parameters()) EXPECT_FALSE(parameter.grad().defined());
  };
  run();
  EXPECT_LT(probe.train_after, probe.train_before);
  EXPECT_EQ(result().at("cost").at("backward_passes_per_step"), 1);
}

TEST_F(ServicesTest, OwnModulesAreTrainedCountedAndKept) {
  std::vector<torch::nn::Linear> heads;
  std::vector<torch::Tensor> start;
  hooked_->on_begin = [&](Trainer& trainer) {
    heads = add_heads(trainer);
    start = copies(trainer.network().parameters(Role::own));
    EXPECT_EQ(trainer.network().parameters(Role::own, 1).size(), 2U);
    EXPECT_THROW(trainer.add_module("head_left", heads[0].ptr()), Error);
  };
  hooked_->on_loss = [&](const Batch& batch, Trainer& trainer) {
    auto total = trainer.objective().loss(trainer.network().logits(batch), batch);
    for (int m = 0; m < 2; ++m) {
      const auto z = heads[static_cast<std::size_t>(m)](trainer.network().encode(batch, m));
      total = total + trainer.objective().loss(z, batch);
    }
    return total;
  };
  hooked_->on_end_epoch = [&](Trainer& trainer) {
    const auto now = trainer.network().parameters(Role::own);
    for (std::size_t i = 0; i < now.size(); ++i) EXPECT_FALSE(same_bits(now[i].detach(), start[i]));
  };
  run();
  EXPECT_EQ(result().at("parameters"), 2 * (3 * 4 + 4) + 8 * 2 + 2 + 2 * (4 * 2 + 2));
  EXPECT_THAT(read_file(folder_ / "weights.safetensors"), HasSubstr("own.head_left.weight"));
}

TEST_F(ServicesTest, ASnapshotBringsBackWeightsAndMomentumAndAStopEndsTheRun) {
  request_.train.optimizer.name = "sgd";
  request_.train.optimizer.momentum = 0.9;
  std::vector<std::vector<torch::Tensor>> after;  // weights at the end of every epoch
  hooked_->on_begin_epoch = [&](Trainer& trainer) {
    if (trainer.epoch() == 1) trainer.snapshot("first");
    if (trainer.epoch() == 2) trainer.restore("first");
  };
  hooked_->on_loss = [](const Batch& batch, Trainer& trainer) {
    // The same gradients in every epoch, whatever the shuffle.
    auto sum = trainer.network().logits(batch).sum() * 0;
    for (const auto& parameter : trainer.network().parameters()) sum = sum + parameter.sum();
    return sum;
  };
  hooked_->on_end_epoch = [&](Trainer& trainer) {
    after.push_back(copies(trainer.network().parameters()));
    if (trainer.epoch() == 2) trainer.stop();
  };
  request_.train.epochs = 10;
  EXPECT_EQ(run(), Outcome::finished);
  ASSERT_EQ(after.size(), 3U);
  EXPECT_FALSE(same(after[0], after[1]));
  EXPECT_TRUE(same(after[1], after[2])) << "the same start, the same momentum, the same gradients";
  EXPECT_EQ(result().at("epochs"), 3);
}

/// Uses every service whose state a checkpoint must carry.
class Busy : public Modulation {
 public:
  std::function<void()> stepped;

  void begin(Trainer& trainer) override {
    heads_ = add_heads(trainer);
    for (std::int64_t i = 0; i < late_; ++i) add_late(trainer, i);
  }
  void end_epoch(Trainer& trainer) override {
    Network& network = trainer.network();
    if (trainer.epoch() == 0) {
      trainer.snapshot("first");
      trainer.optimizer().set_rate_factor(network.parameters(Role::encoder, 0), 0.25);
      trainer.optimizer().forget(network.parameters(Role::head));
    } else if (trainer.epoch() == 1) {
      trainer.restore("first");
      trainer.optimizer().freeze(network.parameters(Role::encoder, 1));
      add_late(trainer, late_++);
    } else if (trainer.epoch() == 2) {
      trainer.stop();
    }
    trainer.for_each_batch(Split::validation, {}, [](const Batch&) { return true; });
  }
  void step(const Batch& batch, Trainer& trainer) override {
    stepped();
    Network& network = trainer.network();
    for (int m = 0; m < 2; ++m) {
      auto z = heads_[static_cast<std::size_t>(m)](network.encode(batch, m));
      for (auto& layer : layers_) z = z + layer(network.encode(batch, m));
      std::vector<torch::Tensor> detached;
      for (const auto& feature : network.features(batch)) detached.push_back(feature.detach());
      const auto fused = network.fuse(batch, detached).logits;
      trainer.backward(trainer.objective().loss(z, batch) + trainer.objective().loss(fused, batch));
      auto parameters = network.parameters(Role::encoder, m);
      for (const Role role : {Role::own, Role::head, Role::fusion}) {
        for (const auto& parameter : network.parameters(role)) parameters.push_back(parameter);
      }
      trainer.optimizer().step(parameters);
    }
  }
  void visit(State& state) override { state.scalar("late", late_); }

 private:
  void add_late(Trainer& trainer, std::int64_t index) {
    layers_.emplace_back(torch::nn::LinearOptions(4, 2));
    trainer.add_module("late_" + std::to_string(index), layers_.back().ptr());
  }

  std::vector<torch::nn::Linear> heads_;
  std::vector<torch::nn::Linear> layers_;
  std::int64_t late_ = 0;
};

TEST_F(ServicesTest, WhatIsSetOnceSurvivesARestartAnywhere) {
  request_.train.epochs = 5;
  expect_resumes(12, [&](const std::function<void()>& stepped) {
    const auto busy = std::make_shared<Busy>();
    busy->stepped = stepped;
    use(busy);
  });
}

}  // namespace
}  // namespace poise
