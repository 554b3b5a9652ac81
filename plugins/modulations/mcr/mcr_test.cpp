// MCR's divergences, contrastive loss and gradients against values stored by tests/oracles/mcr.py.
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "mcr_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace mcr_test;
using poise::testing::refusal;
using poise::testing::same_bits;

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mcr, Oracle,
                         ::testing::Values("greedy", "ind", "colab", "all_of_it", "greedy_three", "ind_three",
                                           "colab_three", "contrastive_alone"),
                         [](const auto& parameter) { return parameter.param; });

TEST(Mcr, KnowsEveryCaseOfTheOracle) { EXPECT_EQ(oracle("mcr").at("cases").size(), 8U); }

TEST_P(Oracle, LossAndGradients) {
  const auto c = case_of(GetParam());
  const Bench bench(c);
  EXPECT_NEAR(bench.loss.item<double>() / c.at("loss").get<double>(), 1, 1e-12);
  EXPECT_LT(bench.off(c.at("gradients")), 1e-10);
  for (std::size_t m = 0; m < bench.network.f.size(); ++m) {
    EXPECT_LT(difference(bench.network.linear.w[m].grad(), tensor_of(c.at("gradient_weights").at(m))), 1e-10)
        << m;
  }
  EXPECT_LT(difference(bench.network.linear.b.grad(), tensor_of(c.at("gradient_bias"))), 1e-10);
}

TEST_P(Oracle, IsFarFromMistakes) {
  const auto c = case_of(GetParam());
  const Bench bench(c);
  const auto loss = bench.loss.item<double>();
  for (const auto& [name, wrong] : c.items()) {
    if (name.starts_with("mistake_gradients_")) {
      EXPECT_GT(bench.off(wrong), 5e-4) << name;
    } else if (name.starts_with("mistake_loss_")) {
      EXPECT_GT(std::abs(wrong.get<double>() / loss - 1), 5e-4) << name;
    }
  }
}

TEST_P(Oracle, RecordsWhatItMeasures) {
  const auto c = case_of(GetParam());
  const Bench bench(c);
  const auto& recorded = bench.trainer.recorded;
  ASSERT_EQ(recorded.contains("js"), c.at("l").get<double>() > 0);
  ASSERT_EQ(recorded.contains("contrastive"), c.at("lambda_c").get<double>() > 0);
  if (recorded.contains("js")) {
    EXPECT_LT(difference(recorded.at("js"), tensor_of(c.at("js"))), 1e-11);
  }
  if (recorded.contains("contrastive")) {
    EXPECT_LT(difference(recorded.at("contrastive"), tensor_of(c.at("contrastive"))), 1e-12);
  }
  for (const auto& [name, value] : recorded) EXPECT_FALSE(value.requires_grad()) << name;
}

TEST_P(Oracle, LeavesTheStatisticsOfTheJointPass) {
  const auto c = case_of(GetParam());
  const Bench bench(c);
  const double permuted = c.at("l").get<double>() == 0 ? 0 : c.at("k").get<double>();
  EXPECT_EQ(bench.passes, 1 + (c.at("variant").get<std::string>() == "greedy" ? 2 : 1) * permuted);
  EXPECT_EQ(bench.network.linear.passes.item<double>(), 1);
}

TEST(Mcr, HasTheAuthorsDefaults) {
  const auto c = case_of("all_of_it");
  ASSERT_EQ(c.at("variant").get<std::string>(), "greedy");
  const Bench bench(c, "");
  EXPECT_LT(bench.off(c.at("gradients")), 1e-10) << "l is 0.1 and lambda_c 1";
}

TEST(Mcr, SwappedModalitiesSwapGradients) {
  for (const std::string name : {"greedy", "ind", "colab", "all_of_it"}) {
    const auto c = case_of(name);
    auto swapped = c;
    for (const std::string list : {"features", "weights"}) std::swap(swapped[list][0], swapped[list][1]);
    const Bench one(c);
    const Bench two(swapped);
    for (std::size_t m = 0; m < 2; ++m) {
      EXPECT_LT(difference(two.network.f[m].grad(), one.network.f[1 - m].grad()), 1e-11) << name;
    }
  }
}

/// The contrastive loss alone: the joint one of logits that are all 0 has no gradient.
struct Alike {
  Alike(const std::vector<Tensor>& features, const Tensor& targets)
      : network(features, zeros(features), at::zeros({3}, at::kDouble)), trainer(network) {
    Batch batch;
    batch.targets = targets.to(at::kLong);
    const auto mcr = make<poise::Modulation>("l = 0\nlambda_c = 1");
    mcr->begin(trainer);
    mcr->loss(batch, trainer).backward();
    value = trainer.recorded.at("contrastive").item<double>();
  }

  static std::vector<Tensor> zeros(const std::vector<Tensor>& features) {
    return std::vector<Tensor>(features.size(), at::zeros({3, features.front().size(1)}, at::kDouble));
  }

  Linear network;
  RecordingTrainer trainer;
  double value = 0;
};

TEST(Mcr, HasTheOraclesContrastiveLoss) {
  const auto cases = oracle("mcr").at("contrastive");
  ASSERT_EQ(cases.size(), 4U);
  for (const auto& [name, c] : cases.items()) {
    const Alike alike(leaves_of(c.at("features")), tensor_of(c.at("targets")));
    EXPECT_NEAR(alike.value, c.at("value").get<double>(), 1e-12) << name;
    for (std::size_t m = 0; m < alike.network.f.size(); ++m) {
      const Tensor off = alike.network.f[m].grad() - tensor_of(c.at("gradients").at(m));
      EXPECT_LT(off.abs().max().item<double>(), 1e-12) << name;
    }
    for (const auto& [mistake, wrong] : c.items()) {
      if (!mistake.starts_with("mistake_")) continue;
      EXPECT_GT(std::abs(wrong.get<double>() / alike.value - 1), 5e-4) << name << ' ' << mistake;
    }
  }
}

TEST(Mcr, FeaturesOfZerosHaveFiniteGradients) {
  const std::vector<Tensor> features = {at::zeros({4, 3}, at::kDouble).requires_grad_(),
                                        at::ones({4, 3}, at::kDouble).requires_grad_()};
  const Alike alike(features, at::arange(4, at::kLong).remainder(2));
  EXPECT_TRUE(std::isfinite(alike.value));
  for (const auto& feature : alike.network.f) {
    EXPECT_TRUE(feature.grad().isfinite().all().item<bool>());
    EXPECT_LT(feature.grad().abs().max().item<double>(), 10);
  }
}

TEST(Mcr, CertainPredictionsHaveAFiniteDivergence) {
  auto c = case_of("ind");
  for (auto& weight : c.at("weights")) {
    for (auto& row : weight) {
      for (auto& entry : row) entry = entry.get<double>() * 1e4;
    }
  }
  const Bench bench(c);
  const Tensor js = bench.trainer.recorded.at("js");
  EXPECT_TRUE(js.isfinite().all().item<bool>());
  EXPECT_LE(js.max().item<double>(), std::log(2.0) * (1 + 1e-12));
  for (const auto& feature : bench.network.f) EXPECT_TRUE(feature.grad().isfinite().all().item<bool>());
}

TEST(Mcr, LengthsOfTokensGoWithThem) {
  const std::vector<Tensor> features = {at::randn({5, 4, 3}, at::kDouble).requires_grad_(),
                                        at::randn({5, 6, 3}, at::kDouble).requires_grad_()};
  Linear network(features, {at::randn({3, 3}, at::kDouble), at::randn({3, 3}, at::kDouble)},
                 at::zeros({3}, at::kDouble));
  RecordingTrainer trainer(network);
  Batch batch;
  batch.targets = at::arange(5, at::kLong).remainder(3);
  batch.lengths = {at::arange(5, at::kLong).remainder(4) + 1, Tensor()};
  const auto mcr = make<poise::Modulation>("variant = \"colab\"");
  mcr->begin(trainer);
  const Tensor pi = tensor_of(case_of("colab").at("permutation")).to(at::kLong);
  torch::manual_seed(seed_of(pi));
  mcr->loss(batch, trainer);
  const auto& seen = network.linear.seen_features;
  const auto& lengths = network.linear.seen_lengths;
  ASSERT_EQ(seen.size(), 3U) << "the training pass and one for each modality";
  for (std::size_t m = 0; m < 2; ++m) {
    EXPECT_TRUE(same_bits(seen[1 + m][m], features[m].index_select(0, pi)));
    EXPECT_TRUE(same_bits(seen[1 + m][1 - m], features[1 - m]));
    EXPECT_FALSE(lengths[1 + m][1].defined());
  }
  EXPECT_TRUE(same_bits(lengths[1][0], batch.lengths[0].index_select(0, pi)));
  EXPECT_TRUE(same_bits(lengths[2][0], batch.lengths[0]));
}

TEST(Mcr, WithoutWeightsDrawsNothingAndIsJointTraining) {
  const auto c = case_of("all_of_it");
  const Bench bench(c, "l = 0.0\nlambda_c = 0.0");
  EXPECT_NEAR(bench.loss.item<double>(), c.at("joint").get<double>(), 1e-12);
  EXPECT_TRUE(bench.trainer.recorded.empty());
  EXPECT_EQ(bench.passes, 1);
  const Tensor next = at::randperm(5, at::kLong);
  EXPECT_TRUE(at::equal(next, tensor_of(c.at("permutation")).to(at::kLong)))
      << "a permutation was drawn before";
}

std::string refusal_of(Linear& network, const Tensor& targets, const std::string& options) {
  RecordingTrainer trainer(network);
  Batch batch;
  batch.targets = targets;
  return refusal([&] {
    const auto mcr = make<poise::Modulation>(options);
    mcr->begin(trainer);
    mcr->loss(batch, trainer);
  });
}

TEST(Mcr, RefusesEncodersOfDifferentWidthsWhereItComparesThem) {
  auto c = case_of("all_of_it");
  for (const std::string list : {"features", "weights"}) {
    for (auto& row : c.at(list).at(1)) row.erase(row.size() - 1);
  }
  const Tensor targets = tensor_of(c.at("targets")).to(at::kLong);
  Linear network(c);
  EXPECT_NE(refusal_of(network, targets, "").find("'0' and '1' differ in width"), std::string::npos);
  EXPECT_EQ(refusal_of(network, targets, "lambda_c = 0"), "");
}

TEST(Mcr, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>()->requirements(3);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, poise::max_modalities);
  EXPECT_TRUE(needs.classification);
  EXPECT_EQ(needs.subsets_per_step, 1);
  EXPECT_EQ(needs.backward_passes_per_step, 1);
  EXPECT_FALSE(needs.symmetric);
}

TEST(Mcr, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("l = -1", "l is -1");
  poise::testing::expect_refused<poise::Modulation>("lambda_c = -1", "lambda_c is -1");
  poise::testing::expect_refused<poise::Modulation>("variant = \"altruist\"", "colab");
  poise::testing::expect_refused<poise::Modulation>("lambda = 1", "lambda");
}

}  // namespace

POISE_CONFORMANCE("");
