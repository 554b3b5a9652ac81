#include "training/run.h"

#include <cmath>
#include <sstream>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "training/run_fixture.h"

namespace poise {
namespace {

using ::testing::HasSubstr;

TEST_F(RunTest, CallsTheHooksInOrderAndVisitsEverySampleOnceAnEpoch) {
  std::vector<std::int64_t> visits(33, 0);
  std::vector<std::int64_t> sizes;
  scripted_->on_step = [&](const Batch& batch, Trainer& trainer) {
    if (trainer.epoch() == 1) sizes.push_back(batch.size());
    for (std::int64_t i = 0; i < batch.size(); ++i)
      ++visits[static_cast<std::size_t>(batch.ids[i].item<std::int64_t>())];
  };
  EXPECT_EQ(run(), Outcome::finished);
  EXPECT_EQ(scripted_->calls, (std::vector<std::string>{"begin", "begin_epoch", "end_epoch", "begin_epoch",
                                                        "end_epoch", "begin_epoch", "end_epoch"}));
  EXPECT_THAT(visits, ::testing::Each(3));
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{8, 8, 8, 9})) << "33 = 4 * 8 + 1: the last one joins";
  EXPECT_EQ(result().at("cost").at("steps"), 12);
  EXPECT_EQ(result().at("parameters"), 2 * (3 * 4 + 4) + 8 * 2 + 2);
}

TEST_F(RunTest, APlanDecidesOrderRepeatsMasksAndWeights) {
  Plan plan;
  plan.ids = at::tensor({5, 5, 2, 9, 0, 1}, at::kLong);
  plan.present = at::tensor({3, 1, 2, 3, 0, 3}, at::kLong);
  plan.weights = at::tensor({1.0F, 0.5F, 2.0F, 1.0F, 1.0F, 0.0F});
  scripted_->scripted_plan = plan;
  scripted_->asked_passes = 2;
  int steps = 0;
  scripted_->on_step = [&](const Batch& batch, Trainer& trainer) {
    ++steps;
    EXPECT_TRUE(at::equal(batch.ids, plan.ids));
    for (const int m : {0, 1}) {
      const auto shown = batch.inputs[static_cast<std::size_t>(m)].abs().sum(1) > 0;
      EXPECT_TRUE(at::equal(shown, plan.present.bitwise_right_shift(m).bitwise_and(1).to(at::kBool))) << m;
    }
    const auto& objective = trainer.objective();
    const auto logits = trainer.network().logits(batch);
    EXPECT_NEAR(objective.loss(logits, batch).item<double>(),
                (objective.losses(logits, batch.targets) * plan.weights).sum().item<double>() / 6, 1e-6);
  };
  run();
  EXPECT_EQ(steps, 3 * 2);
}

TEST_F(RunTest, StopsAfterAStepAndGoesOnBitForBit) {
  expect_resumes(12, [&](const std::function<void()>& stepped) {
    scripted_->noisy = true;
    scripted_->on_step = [stepped](const Batch&, Trainer&) { stepped(); };
  });
}

TEST_F(RunTest, NamesTheModalityAndTheStepOfANaN) {
  points_->poisoned = 1;
  EXPECT_THAT(failure(), ::testing::AllOf(HasSubstr("the loss is nan in epoch 1, step "),
                                          HasSubstr("the input of 'right' is the first that is not finite")));
  EXPECT_FALSE(is_finished(folder_));

  fresh_plugins();
  scripted_->on_step = [](const Batch&, Trainer& trainer) {
    const torch::NoGradGuard no_gradients;
    if (trainer.step() == 2) trainer.network().parameters(Role::encoder, 0)[0].fill_(std::nan(""));
  };
  EXPECT_THAT(failure(), ::testing::AllOf(HasSubstr("the loss is nan in epoch 1, step 3: "),
                                          HasSubstr("the features of 'left' are not finite")));
}

TEST_F(RunTest, KeepsTheBestEpochByValidation) {
  // After epoch 2 the weights are spoiled: the last epoch is not the best.
  scripted_->on_step = [](const Batch&, Trainer& trainer) {
    const torch::NoGradGuard no_gradients;
    if (trainer.epoch() == 2) trainer.network().parameters(Role::head)[0].zero_();
  };
  run();
  std::istringstream lines(read_file(folder_ / "metrics.jsonl"));
  std::vector<nlohmann::json> epochs;
  for (std::string line; std::getline(lines, line);) epochs.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(epochs.size(), 3U);
  const int best = result().at("best_epoch");
  EXPECT_LT(best, 3);
  for (const auto& epoch : epochs) {
    EXPECT_LE(epoch.at("validation_accuracy"), result().at("validation").at("accuracy"));
  }
  EXPECT_EQ(result().at("validation").at("accuracy"),
            epochs[static_cast<std::size_t>(best - 1)].at("validation_accuracy"));
}

class NeedsMore : public Modulation {
  Requirements requirements(int /*modalities*/) const override {
    return {.min_modalities = 3, .max_modalities = 3};
  }
};
class NeedsShares : public Modulation {
  Requirements requirements(int /*modalities*/) const override { return {.additive_fusion = true}; }
};

TEST_F(RunTest, RefusesWhatDoesNotFitTogether) {
  plugins_.modulation.object = std::make_shared<NeedsMore>();
  EXPECT_EQ(failure(), "modulation scripted needs exactly 3 modalities, and this run has 2.");
  plugins_.modulation.object = std::make_shared<NeedsShares>();
  EXPECT_THAT(failure(), ::testing::AllOf(HasSubstr("modulation scripted needs an additive fusion"),
                                          HasSubstr("fusion join is not additive.")));
}

}  // namespace
}  // namespace poise
