// MCR's divergences, contrastive loss and gradients against values stored by tests/oracles/mcr.py.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/error.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::RecordingTrainer;
using poise::testing::same_bits;
using poise::testing::tensor_of;
using torch::Tensor;

std::vector<Tensor> leaves_of(const nlohmann::json& list) {
  std::vector<Tensor> leaves;
  for (const auto& element : list) leaves.push_back(tensor_of(element).requires_grad_());
  return leaves;
}

/// z = sum_m f_m W_m^T + b, of tokens the first. Counts its passes in a buffer, as BatchNorm does, and keeps what it
/// saw.
class LinearFusion : public poise::Fusion {
 public:
  LinearFusion(std::vector<Tensor> weights, Tensor bias) : w(std::move(weights)), b(std::move(bias)) {}

  void build(const poise::FusionSpec& /*spec*/) override {}
  poise::FusionOutput forward(const std::vector<Tensor>& features,
                              const std::vector<Tensor>& lengths) override {
    {
      const at::NoGradGuard no_grad;
      passes.add_(1);
    }
    seen_features.push_back(features);
    seen_lengths.push_back(lengths);
    Tensor z = b;
    for (std::size_t m = 0; m < w.size(); ++m) {
      z = z + at::matmul(features[m].dim() == 3 ? features[m].select(1, 0) : features[m], w[m].t());
    }
    return {.logits = z, .feature = {}};
  }

  std::vector<Tensor> w;
  Tensor b;
  Tensor passes = register_buffer("passes", at::zeros({1}, at::kDouble));
  std::vector<std::vector<Tensor>> seen_features;  ///< pass by pass
  std::vector<std::vector<Tensor>> seen_lengths;
};

/// Features that are leaves, before a linear fusion.
class Linear : public poise::testing::FixedLogits {
 public:
  Linear(std::vector<Tensor> features, std::vector<Tensor> weights, Tensor bias)
      : FixedLogits(static_cast<int>(features.size())),
        f(std::move(features)),
        linear(std::move(weights), std::move(bias)) {}
  explicit Linear(const nlohmann::json& one_case)
      : Linear(leaves_of(one_case.at("features")), leaves_of(one_case.at("weights")),
               tensor_of(one_case.at("bias")).requires_grad_()) {}

  std::int64_t outputs() const override { return linear.b.size(0); }
  std::int64_t width(int m) const override { return f.at(static_cast<std::size_t>(m)).size(-1); }
  Tensor encode(const Batch& /*batch*/, int m) override {
    const Tensor& feature = f.at(static_cast<std::size_t>(m));
    return feature.dim() == 3 ? feature.mean(1) : feature;
  }
  const std::vector<Tensor>& features(const Batch& /*batch*/) override { return f; }
  Tensor logits(const Batch& batch) override {
    if (!z_.defined()) z_ = fuse(batch, f, {}).logits;
    return z_;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }
  poise::FusionOutput fuse(const Batch& batch, const std::vector<Tensor>& features,
                           const Tensor& /*keep*/) override {
    return linear.forward(features, batch.lengths);
  }
  poise::Fusion& fusion() override { return linear; }

  std::vector<Tensor> f;
  LinearFusion linear;

 private:
  Tensor z_;
};

/// A seed with which `expected` is the first permutation that is drawn.
std::uint64_t seed_of(const Tensor& expected) {
  for (std::uint64_t seed = 0; seed < 10000; ++seed) {
    torch::manual_seed(seed);
    if (at::equal(at::randperm(expected.size(0), at::kLong), expected)) return seed;
  }
  throw std::logic_error("no seed draws this permutation");
}

std::string options_of(const nlohmann::json& c) {
  return "variant = \"" + c.at("variant").get<std::string>() + "\"\nl = " + c.at("l").dump() +
         "\nlambda_c = " + c.at("lambda_c").dump();
}

/// The loss of a case of the oracle, differentiated.
struct Bench {
  explicit Bench(const nlohmann::json& c) : Bench(c, options_of(c)) {}
  Bench(const nlohmann::json& c, const std::string& options) : network(c), trainer(network) {
    Batch batch;
    batch.targets = tensor_of(c.at("targets")).to(at::kLong);
    const auto mcr = make<poise::Modulation>(options);
    mcr->begin(trainer);
    torch::manual_seed(seed_of(tensor_of(c.at("permutation")).to(at::kLong)));
    loss = mcr->loss(batch, trainer);
    loss.backward();
    passes = network.linear.passes.item<double>();
    mcr->modulate(batch, trainer);
  }

  /// The largest difference of the features' gradients from `expected`.
  double off(const nlohmann::json& expected) const {
    double most = 0;
    for (std::size_t m = 0; m < network.f.size(); ++m) {
      most = std::max(most, difference(network.f[m].grad(), tensor_of(expected.at(m))));
    }
    return most;
  }

  Linear network;
  RecordingTrainer trainer;
  Tensor loss;
  double passes = 0;  ///< of the fusion, in the step
};

nlohmann::json case_of(const std::string& name) { return oracle("mcr").at("cases").at(name); }

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

std::string refusal(Linear& network, const Tensor& targets, const std::string& options) {
  RecordingTrainer trainer(network);
  Batch batch;
  batch.targets = targets;
  try {
    const auto mcr = make<poise::Modulation>(options);
    mcr->begin(trainer);
    mcr->loss(batch, trainer);
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    return error.what();
  }
  return "";
}

TEST(Mcr, RefusesTargetsThatAreNoClasses) {
  const auto c = case_of("all_of_it");
  Linear network(c);
  EXPECT_EQ(refusal(network, tensor_of(c.at("targets")).to(at::kLong), ""), "");
  Linear other(c);
  EXPECT_NE(refusal(other, at::zeros({5, 3}, at::kDouble), "").find("no classes"), std::string::npos);
}

TEST(Mcr, RefusesEncodersOfDifferentWidthsWhereItComparesThem) {
  auto c = case_of("all_of_it");
  for (const std::string list : {"features", "weights"}) {
    for (auto& row : c.at(list).at(1)) row.erase(row.size() - 1);
  }
  const Tensor targets = tensor_of(c.at("targets")).to(at::kLong);
  Linear network(c);
  EXPECT_NE(refusal(network, targets, "").find("'0' and '1' differ in width"), std::string::npos);
  EXPECT_EQ(refusal(network, targets, "lambda_c = 0"), "");
}

TEST(Mcr, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>()->requirements(3);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, poise::max_modalities);
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
