// A run on a data set of random vectors, with plugins that a test can look into.
#include "training/run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <sstream>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "poise/error.h"
#include "poise/files.h"
#include "poise/testing.h"
#include "poise/testing_folder.h"
#include "training/test_plugins.h"

namespace poise {
namespace {

using ::testing::HasSubstr;
using testing::Join;
using testing::Linear;
using testing::Points;
using testing::Scripted;

class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fresh_plugins();
    auto config = Config::parse("epochs = 3\nbatch_size = 8\noptimizer = { name = \"adam\", lr = 0.01 }");
    request_.train = TrainSettings::read(config);
    request_.folder = folder_;
    request_.label = "test";
    request_.seed = 4;
    request_.identity = {{"hash", "h"}, {"label", "test"}};
  }

  void fresh_plugins() {
    const auto named = [](const auto& object, const char* name) {
      return Loaded<typename std::decay_t<decltype(object)>::element_type>{object, {name, "1", "test.so"}};
    };
    points_ = std::make_shared<Points>();
    scripted_ = std::make_shared<Scripted>();
    plugins_ = {named(std::static_pointer_cast<Dataset>(points_), "points"),
                {0, 1},
                {named(std::shared_ptr<Encoder>(std::make_shared<Linear>()), "linear"),
                 named(std::shared_ptr<Encoder>(std::make_shared<Linear>()), "linear")},
                named(std::shared_ptr<Fusion>(std::make_shared<Join>()), "join"),
                named(std::static_pointer_cast<Modulation>(scripted_), "scripted")};
  }

  Outcome run() {
    Progress progress(1, true);
    return train(request_, plugins_, progress);
  }
  std::string failure() {
    try {
      run();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  nlohmann::json result() const { return nlohmann::json::parse(read_file(folder_ / "result.json")); }

  testing::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  std::shared_ptr<Points> points_;
  std::shared_ptr<Scripted> scripted_;
  RunPlugins plugins_;
  RunRequest request_;
};

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
  // Stops nowhere, then after each of the 12 steps in turn; Ctrl-C is process-wide, so each run is a child.
  const auto in_child = [&](int stop_after, bool resume) {
    const pid_t child = fork();
    if (child == 0) {
      fresh_plugins();
      scripted_->noisy = true;
      int steps = 0;
      scripted_->on_step = [&](const Batch&, Trainer&) {
        if (++steps == stop_after && !resume) request_stop();
      };
      at::set_num_threads(1);
      _exit(run() == Outcome::finished ? 10 : 11);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  const auto outputs = [&] {
    std::string metrics = read_file(folder_ / "metrics.jsonl");
    std::string without_seconds;
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
      auto json = nlohmann::json::parse(line);
      json.erase("epoch_seconds");
      without_seconds += json.dump();
    }
    auto json = result();
    for (const char* name : {"first_step_seconds", "train_seconds", "total_seconds", "peak_memory_mib"}) {
      json["cost"].erase(name);
    }
    return without_seconds + json.dump() + read_file(folder_ / "weights.safetensors");
  };
  ASSERT_EQ(in_child(0, false), 10);
  const std::string expected = outputs();
  for (int stop = 1; stop <= 12; ++stop) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    ASSERT_EQ(in_child(stop, false), 11) << stop;
    ASSERT_EQ(in_child(0, true), 10) << stop;
    EXPECT_TRUE(outputs() == expected) << "stopped after step " << stop;
  }
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
