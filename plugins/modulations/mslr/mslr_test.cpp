// MSLR's accuracies and factors against values that tests/oracles/mslr.py derived from the formulas before this
// plugin was written.
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/error.h"
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

/// Has the shares [k, N, C] of a validation split, and a parameter for each encoder and each head.
class Shares : public poise::testing::FixedLogits {
 public:
  explicit Shares(int modalities) : FixedLogits(modalities) {
    for (int m = 0; m < modalities; ++m) {
      encoders.push_back(at::zeros({2}, at::kDouble));
      heads.push_back(at::zeros({3}, at::kDouble));
    }
  }

  using FixedLogits::parameters;
  std::vector<Tensor> parameters(Role role, int m) const override {
    if (role != Role::encoder && role != Role::head) throw std::logic_error("parameters");
    return {(role == Role::head ? heads : encoders).at(static_cast<std::size_t>(m))};
  }
  Tensor share(const Batch& batch, int m) override { return shares[m].index_select(0, batch.ids); }

  std::vector<Tensor> encoders;
  std::vector<Tensor> heads;
  Tensor shares;
};

/// Keeps the factors that are set, by parameter.
class Rates : public poise::testing::NoUpdates {
 public:
  void set_rate_factor(const std::vector<Tensor>& parameters, double factor) override {
    for (const auto& parameter : parameters) factors[parameter.unsafeGetTensorImpl()] = factor;
  }

  std::map<const void*, double> factors;
};

/// The score is the first logit.
class FirstLogit : public poise::testing::PlainObjective {
 public:
  Tensor score(const Tensor& logits, const Tensor& /*targets*/) const override {
    return logits.select(-1, 0);
  }
};

/// Shows the validation split in batches of these sizes.
class Epochs : public poise::testing::RecordingTrainer {
 public:
  explicit Epochs(Shares& network) : RecordingTrainer(network) {}

  const poise::Objective& objective() override { return objective_; }
  poise::Optimizer& optimizer() override { return rates; }
  std::int64_t samples(Split split) const override {
    EXPECT_EQ(split, Split::validation);
    return targets.size(0);
  }
  void for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) override {
    EXPECT_EQ(split, Split::validation);
    EXPECT_FALSE(ids.defined());
    ++passes;
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

  Rates rates;
  Tensor targets;
  std::vector<std::int64_t> sizes;
  int passes = 0;  ///< over the split

 private:
  FirstLogit objective_;
};

constexpr std::int64_t samples = 40;

/// Shares of two classes of which, in row m, `accuracy[m]` are right: where the target is the first one.
Tensor shares_of(const Tensor& accuracy) {
  const Tensor right = (accuracy * static_cast<double>(samples)).round().unsqueeze(1);
  const Tensor first = at::arange(samples, at::kDouble).unsqueeze(0).lt(right).to(at::kDouble);
  return at::stack({first, at::full_like(first, 0.5)}, 2);
}

/// The options of a case.
std::string options_of(const nlohmann::json& c) {
  std::string numbers;
  for (const auto& number : c.at("c")) numbers += std::to_string(number.get<double>()) + ", ";
  return "c = [" + numbers + "]\nwindow = " + c.at("window").dump();
}

/// The factors in use during the epochs of a case and in the one after them, [E + 1, k]. Before epoch
/// `restart_before` the plugin is made anew from its state.
Tensor factors_of(const nlohmann::json& c, std::int64_t restart_before = -1) {
  const int k = c.at("k");
  const Tensor accuracy = tensor_of(c.at("accuracy"));
  Shares network(k);
  Epochs trainer(network);
  trainer.targets = at::zeros({samples}, at::kLong);
  trainer.sizes = {16, 16, 8};
  auto mslr = make<poise::Modulation>(options_of(c));
  mslr->begin(trainer);
  Tensor factors = at::empty({accuracy.size(0) + 1, k}, at::kDouble);
  for (std::int64_t e = 0; e <= accuracy.size(0); ++e) {
    if (e == restart_before) {
      poise::testing::StoredState stored;
      mslr->visit(stored);
      stored.restoring = true;
      mslr = make<poise::Modulation>(options_of(c));
      mslr->visit(stored);
      mslr->begin(trainer);
      stored.tensors_now = true;
      mslr->visit(stored);
    }
    trainer.current_epoch = e;
    mslr->begin_epoch(trainer);
    for (std::size_t m = 0; m < network.heads.size(); ++m) {
      const double factor = trainer.rates.factors.at(network.encoders[m].unsafeGetTensorImpl());
      EXPECT_EQ(trainer.rates.factors.at(network.heads[m].unsafeGetTensorImpl()), factor);
      factors[e][static_cast<std::int64_t>(m)] = factor;
    }
    EXPECT_EQ(trainer.rates.factors.size(), 2 * network.heads.size()) << "nothing else has a factor";
    EXPECT_TRUE(at::equal(trainer.recorded.at("rate_factor"), factors[e]));
    if (e == accuracy.size(0)) break;
    network.shares = shares_of(accuracy[e]);
    mslr->end_epoch(trainer);
    EXPECT_TRUE(at::allclose(trainer.recorded.at("accuracy"), accuracy[e], 1e-12, 0));
  }
  return factors;
}

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mslr, Oracle, ::testing::Values("two", "three", "constant", "zero"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, Factors) {
  const auto c = oracle("mslr").at("cases").at(GetParam());
  const Tensor factors = factors_of(c);
  EXPECT_TRUE(at::allclose(factors, tensor_of(c.at("factor")), 1e-9, 0)) << factors;
  const Tensor rho = factors.slice(0, 1) / tensor_of(c.at("c"));
  EXPECT_TRUE(at::allclose(rho, tensor_of(c.at("rho")), 1e-9, 0)) << rho;
  for (const std::string name : {"mistake_with_current", "mistake_from_first"}) {
    if (!c.contains(name)) continue;
    EXPECT_GT(difference(rho, tensor_of(c.at(name))), 0.01) << name;
  }
  if (c.contains("mistake_one_accuracy")) {
    EXPECT_GT(difference(factors, tensor_of(c.at("mistake_one_accuracy"))), 0.01);
  }
}

TEST(Mslr, StateSurvivesARestart) {
  const auto c = oracle("mslr").at("cases").at("three");
  EXPECT_TRUE(poise::testing::same_bits(factors_of(c, 3), factors_of(c)));
  EXPECT_TRUE(poise::testing::same_bits(factors_of(c, 7), factors_of(c)));
}

TEST(Mslr, CountsSamplesOfEachModality) {
  const auto c = oracle("mslr").at("accuracies");
  Shares network(2);
  network.shares = tensor_of(c.at("shares"));
  Epochs trainer(network);
  trainer.targets = tensor_of(c.at("targets")).to(at::kLong);
  trainer.sizes = c.at("batches").get<std::vector<std::int64_t>>();
  const auto mslr = make<poise::Modulation>();
  mslr->begin(trainer);
  mslr->begin_epoch(trainer);
  mslr->end_epoch(trainer);
  const Tensor accuracy = trainer.recorded.at("accuracy");
  EXPECT_TRUE(at::allclose(accuracy, tensor_of(c.at("accuracy")), 1e-12, 0)) << accuracy;
  EXPECT_GT(difference(accuracy, tensor_of(c.at("mistake_batch_mean"))), 0.01);
  EXPECT_GT(difference(accuracy, tensor_of(c.at("mistake_one_accuracy"))), 0.01);
}

TEST(Mslr, TakesTheScoreWhereTheTaskHasNoClasses) {
  Shares network(2);
  network.shares = at::tensor({0.25, 0.5, 0.75, 0.5, 0.125, 0.125}, at::kDouble).view({2, 3, 1});
  Epochs trainer(network);
  trainer.targets = at::zeros({3, 1}, at::kDouble);
  trainer.sizes = {2, 1};
  const auto mslr = make<poise::Modulation>();
  mslr->begin(trainer);
  mslr->end_epoch(trainer);
  EXPECT_TRUE(at::equal(trainer.recorded.at("accuracy"), at::tensor({0.5, 0.25}, at::kDouble)));
}

TEST(Mslr, WithoutAWindowRatesStayAndNothingIsMeasured) {
  Shares network(2);
  Epochs trainer(network);
  const auto mslr = make<poise::Modulation>("c = [0.5, 2.0]\nwindow = 0");
  mslr->begin(trainer);
  for (int e = 0; e < 3; ++e) {
    mslr->begin_epoch(trainer);
    EXPECT_EQ(trainer.rates.factors.at(network.encoders[0].unsafeGetTensorImpl()), 0.5);
    EXPECT_EQ(trainer.rates.factors.at(network.heads[1].unsafeGetTensorImpl()), 2);
    mslr->end_epoch(trainer);
  }
  EXPECT_EQ(trainer.passes, 0);
}

TEST(Mslr, RefusesWrongOptionsByName) {
  poise::testing::expect_refused<poise::Modulation>("c = [1, -1]", "c is -1");
  poise::testing::expect_refused<poise::Modulation>("window = -1", "window is -1");
  Shares network(3);
  Epochs trainer(network);
  try {
    make<poise::Modulation>("c = [0.9, 1.1]")->begin(trainer);
    ADD_FAILURE() << "accepted";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_EQ(std::string(error.what()),
              "modulation.c has 2 numbers, and this run has 3 modalities: give one for each, in their order");
  }
  EXPECT_TRUE(make<poise::Modulation>()->requirements(2).additive_fusion);
}

}  // namespace

POISE_CONFORMANCE("");
