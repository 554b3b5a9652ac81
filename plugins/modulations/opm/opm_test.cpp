// OPM on shares, features and masks that a test chooses, against values stored by tests/oracles/opm.py before this
// plugin was written.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "masked_loss.h"
#include "opm_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"

namespace {

using namespace opm_test;
using namespace poise::testing;

/// The loss and every gradient are the oracle's, and far from what its mistakes give.
void expect_values(const Scene& scene, const Tensor& loss, const nlohmann::json& expected) {
  EXPECT_NEAR(loss.item<double>(), expected.at("loss").get<double>(), 1e-12);
  const auto kept = tensor_of(expected.at("kept")).to(at::kLong);
  const auto& network = scene.network;
  EXPECT_LT(difference(network.logits_of_fuse.index_select(0, kept), tensor_of(expected.at("logits"))),
            1e-12);
  std::vector<Tensor> masked;
  for (std::size_t m = 0; m < network.leaves.size(); ++m) {
    const auto factor = network.kept.narrow(1, static_cast<std::int64_t>(m), 1);
    masked.push_back((network.leaves[m] * factor).index_select(0, kept));
  }
  const Tensor all_masked = at::cat(masked, 1);
  EXPECT_LT(difference(all_masked, at::cat(list_of(expected.at("masked")), 1)), 1e-12);
  EXPECT_GT(difference(all_masked, at::cat(list_of(expected.at("mistake_masked_each")), 1)), 1e-2);

  const Tensor gradients = gradients_of(network);
  EXPECT_LT(difference(gradients, at::cat(list_of(expected.at("gradients")), 1)), 1e-12);
  const auto weights = list_of(expected.at("gradient_weights"));
  for (std::size_t m = 0; m < weights.size(); ++m) {
    EXPECT_LT(difference(network.weights[m].grad(), weights[m]), 1e-12) << m;
  }
  EXPECT_LT(difference(network.bias.grad(), tensor_of(expected.at("gradient_bias"))), 1e-12);
  for (const std::string mistake : {"mistake_loss_all", "mistake_loss_targets"}) {
    if (expected.contains(mistake)) {
      EXPECT_GT(std::abs(loss.item<double>() - expected.at(mistake).get<double>()), 1e-2) << mistake;
    }
  }
  if (expected.contains("mistake_gradients_theta")) {
    EXPECT_GT(difference(gradients, at::cat(list_of(expected.at("mistake_gradients_theta")), 1)), 1e-3);
  }
}

TEST(Opm, HasTheOraclesProbabilities) {
  const auto cases = oracle_of("probabilities");
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& [name, one_case] : cases.items()) {
    std::vector<std::string> rules = {""};
    if (one_case.contains("q_sum")) rules.emplace_back("_sum");
    for (const auto& rule : rules) {
      Scene scene(one_case);
      scene.loss("q_base = " + one_case.at("q_base").dump() + "\nlambda = " + one_case.at("lambda").dump() +
                 (rule.empty() ? "" : "\nothers = \"sum\""));
      const Tensor rho = scene.trainer.recorded.at("rho");
      const Tensor q = scene.trainer.recorded.at("q");
      EXPECT_TRUE(at::allclose(rho, tensor_of(one_case.at("rho" + rule)), 1e-12, 1e-15)) << name << rho;
      EXPECT_TRUE(at::allclose(q, tensor_of(one_case.at("q" + rule)), 1e-12, 1e-15)) << name << q;
      EXPECT_FALSE(q.requires_grad());
      if (!rule.empty()) {
        EXPECT_GT((q - tensor_of(one_case.at("q"))).abs().max().item<double>(), 0.1);
      }
      for (const std::string mistake : {"mistake_rho_alias_01", "mistake_rho_alias_10"}) {
        if (one_case.contains(mistake)) {
          EXPECT_GT((rho - tensor_of(one_case.at(mistake))).abs().max().item<double>(), 0.1)
              << name << mistake;
        }
      }
      if (one_case.contains("mistake_q_unclipped")) {
        EXPECT_GT((q - tensor_of(one_case.at("mistake_q_unclipped"))).abs().max().item<double>(), 0.1)
            << name;
      }
    }
  }
}

TEST(Opm, HasTheOraclesLossAndGradientsForGivenMasks) {
  const auto cases = oracle_of("masked");
  ASSERT_EQ(cases.size(), 2U);
  for (const auto& [name, expected] : cases.items()) {
    SCOPED_TRACE(name);
    Scene scene(expected);
    const Tensor loss = opm::masked_loss(scene.batch, tensor_of(expected.at("masks")).t(),
                                         tensor_of(expected.at("theta")), scene.trainer);
    loss.backward();
    expect_values(scene, loss, expected);
  }
}

TEST(Opm, HasThemForTheMasksThatItDraws) {
  const auto expected = oracle_of("masked").at("two");
  Scene scene(expected);
  const Tensor masks = tensor_of(expected.at("masks")).t();
  Tensor loss;
  int tries = 0;
  for (bool drawn = false; !drawn; ++tries) {
    ASSERT_LT(tries, 20000);
    loss = scene.loss();
    drawn = at::equal(scene.network.kept.gt(0), masks.gt(0));
  }
  EXPECT_TRUE(at::allclose(scene.trainer.recorded.at("rho"), tensor_of(expected.at("rho")), 1e-12, 1e-15));
  EXPECT_TRUE(at::allclose(scene.trainer.recorded.at("q"), tensor_of(expected.at("q")), 1e-12, 1e-15));
  const double theta = 1 - 1 / scene.network.kept.max().item<double>();
  EXPECT_NEAR(theta, expected.at("theta").get<double>(), 1e-12);
  EXPECT_GT(std::abs(theta - expected.at("mistake_theta_plain").get<double>()), 1e-2);
  loss.backward();
  expect_values(scene, loss, expected);
}

TEST(Opm, WeighsTheSamplesThatStayByTheBatchsWeights) {
  const auto expected = oracle_of("masked").at("dropped");
  const auto loss_with = [&](const Tensor& weights) {
    Scene scene(expected);
    scene.batch.weights = weights;
    return opm::masked_loss(scene.batch, tensor_of(expected.at("masks")).t(), tensor_of(expected.at("theta")),
                            scene.trainer)
        .item<double>();
  };
  const double plain = expected.at("loss").get<double>();
  EXPECT_NEAR(loss_with(at::full({6}, 2.0, at::kFloat)), 2 * plain, 1e-12);
  // Samples 1 and 4 have left: their weights do not matter.
  const Tensor others = at::ones({6}, at::kFloat);
  others[1] = 100;
  others[4] = 100;
  EXPECT_NEAR(loss_with(others), plain, 1e-12);
}

TEST(Opm, GivesNoGradientWhenNothingIsLeft) {
  const auto expected = oracle_of("masked").at("dropped");
  Scene scene(expected);
  const Tensor loss = opm::masked_loss(scene.batch, at::zeros({6, 3}, at::kDouble),
                                       tensor_of(expected.at("theta")), scene.trainer);
  loss.backward();
  EXPECT_EQ(loss.item<double>(), 0);
  EXPECT_EQ(gradients_of(scene.network).abs().max().item<double>(), 0);
  EXPECT_EQ(scene.network.bias.grad().abs().max().item<double>(), 0);
}

/// Five standard errors.
double error_of(double p, double draws) { return 5 * std::sqrt(p * (1 - p) / draws); }

TEST(Opm, KeepsEachSampleWithProbabilityOneMinusQ) {
  const auto cases = oracle_of("probabilities");
  for (const std::string name : {"first_stronger", "second_stronger", "three"}) {
    Scene scene(cases.at(name));
    constexpr int batches = 1000;
    Tensor sum;
    for (int i = 0; i < batches; ++i) {
      scene.loss();
      const Tensor kept = scene.network.kept.gt(0).to(at::kDouble);
      EXPECT_EQ(kept.amax({1}).min().item<double>(), 1) << "every sample keeps its weakest modality";
      sum = sum.defined() ? sum + kept : kept;
    }
    const Tensor q = scene.trainer.recorded.at("q");
    for (std::int64_t m = 0; m < q.size(0); ++m) {
      const double p = 1 - q[m].item<double>();
      for (std::int64_t b = 0; b < scene.batch.size(); ++b) {
        EXPECT_NEAR(sum[b][m].item<double>() / batches, p, error_of(p, batches)) << name << m << b;
      }
    }
  }
}

TEST(Opm, DrawsSamplesIndependentlyFromTheDefaultGenerator) {
  const auto one_case = oracle_of("probabilities").at("first_stronger");
  const auto drawn = [&](std::uint64_t seed) {
    Scene scene(one_case);
    torch::manual_seed(seed);
    std::vector<Tensor> kept;
    for (int i = 0; i < 20; ++i) {
      scene.loss();
      kept.push_back(scene.network.kept.select(1, 0).gt(0));
    }
    return at::stack(kept);
  };
  EXPECT_TRUE(at::equal(drawn(1), drawn(1)));
  EXPECT_FALSE(at::equal(drawn(1), drawn(2)));
  const Tensor some = drawn(1).any(1).logical_and(drawn(1).logical_not().any(1));
  EXPECT_TRUE(some.any().item<bool>()) << "a batch keeps some samples and drops others";
}

TEST(Opm, ModulatesThePublishedShareOfBatches) {
  const double p_exe = oracle_of("p_exe").get<double>();
  Scene scene(oracle_of("masked").at("two"));
  scene.plugin = make<poise::Modulation>("warmup = 0");
  scene.plugin->begin(scene.trainer);
  constexpr int batches = 2000;
  int modulated = 0;
  for (int i = 0; i < batches; ++i) {
    scene.network.kept = Tensor();
    const Tensor loss = scene.loss();
    if (scene.network.kept.defined()) {
      modulated += 1;
    } else {
      const Tensor joint = scene.trainer.objective().loss(scene.network.logits(scene.batch), scene.batch);
      EXPECT_EQ(loss.item<double>(), joint.item<double>())
          << "a batch that is left alone is joint training's";
    }
  }
  EXPECT_NEAR(modulated / static_cast<double>(batches), p_exe, error_of(p_exe, batches));
}

TEST(Opm, BeginsAfterThePublishedWarmup) {
  const auto warmup = oracle_of("warmup").get<std::vector<int>>();
  Scene scene(oracle_of("masked").at("two"));
  scene.plugin = make<poise::Modulation>("p_exe = 1.0");
  scene.plugin->begin(scene.trainer);
  std::vector<int> joint;
  for (int epoch = 0; epoch < 10; ++epoch) {
    scene.trainer.current_epoch = epoch;
    scene.network.kept = Tensor();
    scene.loss();
    if (!scene.network.kept.defined()) joint.push_back(epoch);
  }
  EXPECT_EQ(joint, warmup);
}

TEST(Opm, DeclaresWhatItNeedsAndRefusesWhatItCannotUse) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_TRUE(needs.additive_fusion);
  expect_refused<poise::Modulation>("q_base = 1.5", "q_base is 1.5");
  expect_refused<poise::Modulation>("lambda = -0.5", "lambda is -0.5");
  expect_refused<poise::Modulation>("p_exe = -0.5", "p_exe is -0.5");
  expect_refused<poise::Modulation>("others = \"max\"", "mean");
}

}  // namespace

// Every batch is modulated, from the first epoch on.
POISE_CONFORMANCE("warmup = 0\np_exe = 1.0");
