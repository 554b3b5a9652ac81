// ReconBoost's losses, gradients, schedule and prediction against values that tests/oracles/reconboost.py derived from
// the formulas before this plugin was written. Its case stage_0_pretrained needs encoders that are trained before the
// run, which this plugin does not have.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "reconboost_setting.h"

namespace {

using namespace reconboost_test;
using poise::testing::difference;
using poise::testing::oracle;
using poise::testing::refusal;

TEST(ReconBoost, BoostsOneModalityByWhatTheOthersHaveWrong) {
  const auto all = oracle("reconboost");
  for (const std::string name : {"two_first", "two_second", "three", "three_first", "stage_0"}) {
    SCOPED_TRACE(name);
    const auto& expected = all.at("phases").at(name);
    Setting setting(expected, weights_of(all));
    auto& trainer = setting.trainer;
    trainer.current_epoch = stage_of(setting.network.modalities(), expected.at("modality").get<int>(),
                                     expected.at("previous").get<int>());
    setting.plugin->begin_epoch(trainer);
    setting.plugin->step(setting.batch, trainer);

    EXPECT_NEAR(trainer.last_loss, expected.at("loss").get<double>(), 1e-12);
    EXPECT_NEAR(trainer.recorded.at("boosting").item<double>(), expected.at("boosting").get<double>(), 1e-12);
    EXPECT_GT(std::abs(trainer.last_loss - expected.at("mistake_loss_summed").get<double>()), 1e-2);
    const Tensor gradients = trainer.gradients();
    EXPECT_LT(difference(gradients, tensor_of(expected.at("gradient"))), 1e-11);
    for (const std::string mistake : {"agreement_detached", "agreement_both", "ensemble"}) {
      const std::string field = "mistake_gradient_" + mistake;
      if (!expected.contains(field)) continue;
      EXPECT_GT(difference(gradients, tensor_of(expected.at(field))), 5e-4) << mistake;
    }
    if (expected.at("previous").get<int>() < 0) continue;
    EXPECT_NEAR(trainer.recorded.at("agreement").item<double>(), expected.at("agreement").get<double>(),
                1e-12);
  }
}

TEST(ReconBoost, HasNoEnsembleInItsFirstStage) {
  const auto all = oracle("reconboost");
  const auto& phases = all.at("phases");
  Setting setting(phases.at("stage_0"), weights_of(all));
  setting.plugin->begin_epoch(setting.trainer);
  setting.plugin->step(setting.batch, setting.trainer);
  const auto& uniform = phases.at("stage_0_uniform");
  EXPECT_GT(std::abs(setting.trainer.last_loss - uniform.at("loss").get<double>()), 1e-2);
  EXPECT_GT(difference(setting.trainer.gradients(), tensor_of(uniform.at("gradient"))), 5e-4);
}

TEST(ReconBoost, RectifiesAllModalitiesAndTheRate) {
  const auto cases = oracle("reconboost").at("rectification");
  for (const std::string name : {"two", "three"}) {
    SCOPED_TRACE(name);
    const auto& expected = cases.at(name);
    Setting setting(expected, "boosting_passes = 1");
    auto& trainer = setting.trainer;
    setting.plugin->begin_epoch(trainer);
    setting.plugin->step(setting.batch, trainer);
    trainer.forgotten.clear();
    setting.plugin->step(setting.batch, trainer);

    EXPECT_NEAR(trainer.last_loss, expected.at("loss").get<double>(), 1e-12);
    EXPECT_GT(std::abs(trainer.last_loss - expected.at("mistake_loss_without_rate").get<double>()), 1e-2);
    const Tensor gradients = trainer.gradients();
    EXPECT_LT(difference(gradients, tensor_of(expected.at("gradient"))), 1e-11);
    EXPECT_GT(difference(gradients, tensor_of(expected.at("mistake_gradient_without_rate"))), 5e-4);
    EXPECT_NEAR(trainer.rate.grad().item<double>(), expected.at("gradient_rate").get<double>(), 1e-11);
  }
}

/// Phase and modality of every visit, from what is updated; each phase begins by forgetting just that.
TEST(ReconBoost, FollowsTheSchedule) {
  const auto all = oracle("reconboost");
  for (const auto& schedule : all.at("schedule")) {
    const auto k = schedule.at("k").get<int>();
    SCOPED_TRACE(k);
    const auto first = schedule.at("first_phase").get<std::int64_t>();
    const auto second = schedule.at("second_phase").get<std::int64_t>();
    Setting setting(
        all.at("rectification").at(k == 2 ? "two" : "three"),
        "boosting_passes = " + std::to_string(first) + "\nrectification_passes = " + std::to_string(second));
    auto& trainer = setting.trainer;
    auto& network = setting.network;
    ASSERT_EQ(setting.plugin->passes(trainer), first + second);
    std::int64_t visits = 0;
    for (const auto& visit : schedule.at("visits")) {
      SCOPED_TRACE(visits);
      trainer.current_epoch = visit.at("stage").get<std::int64_t>();
      const std::int64_t pass = visits++ % (first + second);
      if (pass == 0) setting.plugin->begin_epoch(trainer);
      for (trainer.current_batch = 0; trainer.current_batch < trainer.batches(); ++trainer.current_batch) {
        trainer.forgotten.clear();
        trainer.recorded.clear();
        setting.plugin->step(setting.batch, trainer);
        const bool boosts = visit.at("phase").get<int>() == 1;
        std::vector<Tensor> expected = network.leaves;
        if (boosts) expected = {network.leaves.at(visit.at("modality").get<std::size_t>())};
        // The head's four parameters, and the rate.
        expected.insert(expected.end(), network.own.begin(), network.own.begin() + (boosts ? 4 : 5));
        EXPECT_TRUE(same_parameters(trainer.updated, expected));
        const bool begins = trainer.current_batch == 0 && (pass == 0 || pass == first);
        EXPECT_TRUE(same_parameters(trainer.forgotten, begins ? expected : std::vector<Tensor>()));
        EXPECT_EQ(trainer.recorded.contains("agreement"), boosts && visit.at("previous").get<int>() >= 0);
      }
    }
  }
}

TEST(ReconBoost, PredictsTheSumOfThosePresentTimesTheRate) {
  const auto cases = oracle("reconboost").at("inference");
  for (const std::string name : {"two", "three"}) {
    SCOPED_TRACE(name);
    const auto& expected = cases.at(name);
    Setting setting(expected, "", "modalities");
    std::vector<poise::Subset> subsets;
    for (std::uint32_t bits = 1; bits <= poise::Subset::all(setting.network.modalities()).bits; ++bits) {
      subsets.push_back({bits});
    }
    const at::NoGradGuard no_grad;
    const Tensor z = setting.plugin->predict(setting.batch, subsets, setting.trainer);
    EXPECT_LT(difference(z, tensor_of(expected.at("logits"))), 1e-12);
    EXPECT_GT(difference(z, tensor_of(expected.at("mistake_logits"))), 5e-4);
    EXPECT_GT(difference(z, tensor_of(expected.at("mistake_logits_without_rate"))), 5e-4);
  }
}

TEST(ReconBoost, DeclaresWhatItDoes) {
  const auto needs = make<poise::Modulation>()->requirements(3);
  EXPECT_TRUE(needs.replaces_fusion);
  EXPECT_TRUE(needs.classification);
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.backward_passes_per_step, 1);
}

TEST(ReconBoost, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("boosting_passes = 0", "boosting_passes");
  poise::testing::expect_refused<poise::Modulation>("rectification_passes = 0", "rectification_passes");
  poise::testing::expect_refused<poise::Modulation>("w1 = -1", "w1 is -1");

  Setting setting(oracle("reconboost").at("rectification").at("two"));
  setting.network.other_width = 7;
  EXPECT_NE(refusal([&] { setting.plugin->begin(setting.trainer); }).find("one width"), std::string::npos);
}

}  // namespace

POISE_CONFORMANCE("boosting_passes = 1\nrectification_passes = 1");
