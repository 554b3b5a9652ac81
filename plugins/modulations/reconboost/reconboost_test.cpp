// ReconBoost's losses, gradients, schedule and prediction against values that tests/oracles/reconboost.py derived from
// the formulas before this plugin was written. Its case stage_0_pretrained needs encoders that are trained before the
// run, which this plugin does not have.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using nlohmann::json;
using poise::Role;
using poise::testing::difference;
using poise::testing::FixedLogits;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::RecordingTrainer;
using poise::testing::tensor_of;
using torch::Tensor;

/// Encoder m gives its one parameter, [B, C], whatever the batch.
class Leaves : public FixedLogits {
 public:
  explicit Leaves(const Tensor& logits)
      : FixedLogits(static_cast<int>(logits.size(0))), outputs_(logits.size(2)) {
    for (std::int64_t m = 0; m < logits.size(0); ++m) leaves.push_back(logits[m].clone().requires_grad_());
  }

  [[nodiscard]] std::int64_t outputs() const override { return outputs_; }
  [[nodiscard]] std::int64_t width(int m) const override {
    return m == 1 && other_width > 0 ? other_width : outputs_;
  }
  Tensor encode(const poise::Batch& /*batch*/, int m) override {
    return leaves.at(static_cast<std::size_t>(m));
  }
  [[nodiscard]] std::vector<Tensor> parameters() const override {
    auto all = leaves;
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role) const override {
    return role == Role::encoder ? leaves : role == Role::own ? own : std::vector<Tensor>();
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role, int m) const override {
    return role == Role::encoder ? std::vector<Tensor>{leaves.at(static_cast<std::size_t>(m))}
                                 : std::vector<Tensor>();
  }

  std::vector<Tensor> leaves;
  std::vector<Tensor> own;
  std::int64_t other_width = 0;

 private:
  std::int64_t outputs_;
};

/// Keeps what it is asked for and updates nothing. The head that is added becomes the identity, if it is twice as wide
/// as the logits: relu(z) - relu(-z) = z.
class Watch : public RecordingTrainer {
 public:
  explicit Watch(Leaves& leaves) : RecordingTrainer(leaves), leaves_(leaves), requests_(*this) {}

  poise::Optimizer& optimizer() override { return requests_; }
  [[nodiscard]] std::int64_t batch() const override { return current_batch; }
  [[nodiscard]] std::int64_t batches() const override { return 2; }
  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) override {
    EXPECT_TRUE(modalities.empty()) << name;
    module->to(at::kDouble);
    const auto parameters = module->parameters();
    leaves_.own.insert(leaves_.own.end(), parameters.begin(), parameters.end());
    if (name == "rate") {
      rate = parameters.at(0);
      return;
    }
    EXPECT_EQ(name, "head");
    const at::NoGradGuard no_grad;
    const Tensor one = at::eye(leaves_.outputs(), at::kDouble);
    ASSERT_EQ(parameters.size(), 4U);
    parameters[0].copy_(at::cat({one, -one}, 0));
    parameters[1].zero_();
    parameters[2].copy_(at::cat({one, -one}, 1));
    parameters[3].zero_();
  }
  void backward(const Tensor& loss) override {
    for (auto& parameter : leaves_.parameters()) parameter.mutable_grad() = Tensor();
    loss.backward();
    last_loss = loss.item<double>();
  }

  /// [k, B, C].
  [[nodiscard]] Tensor gradients() const {
    std::vector<Tensor> all;
    for (const auto& leaf : leaves_.leaves) {
      all.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    }
    return at::stack(all);
  }

  Tensor rate;
  double last_loss = 0;
  std::int64_t current_batch = 0;
  std::vector<Tensor> updated;    ///< in the last step
  std::vector<Tensor> forgotten;  ///< since it was cleared

 private:
  class Requests : public poise::testing::NoUpdates {
   public:
    explicit Requests(Watch& watch) : watch_(watch) {}
    void zero() override { ADD_FAILURE() << "zero() is not needed"; }
    void step() override { ADD_FAILURE() << "step() updates every part"; }
    void step(const std::vector<Tensor>& parameters) override { watch_.updated = parameters; }
    void forget(const std::vector<Tensor>& parameters) override {
      EXPECT_TRUE(watch_.forgotten.empty());
      watch_.forgotten = parameters;
    }

   private:
    Watch& watch_;
  };

  Leaves& leaves_;
  Requests requests_;
};

bool same_parameters(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = a[i].is_same(b[i]);
  return same;
}

/// The plugin on the logits and the rate of a case.
struct Setting {
  explicit Setting(const json& one_case, const std::string& options = "",
                   const std::string& logits_name = "logits")
      : network(tensor_of(one_case.at(logits_name))),
        trainer(network),
        plugin(make<poise::Modulation>(options + "\nhidden = " + std::to_string(2 * network.outputs()))) {
    if (one_case.contains("targets")) batch.targets = tensor_of(one_case.at("targets")).to(at::kLong);
    plugin->begin(trainer);
    const at::NoGradGuard no_grad;
    trainer.rate.fill_(one_case.at("rate").get<double>());
  }

  Leaves network;
  Watch trainer;
  std::shared_ptr<poise::Modulation> plugin;
  poise::Batch batch;
};

std::string weights_of(const json& all) {
  return "w1 = " + all.at("w1").dump() + "\nw2 = " + all.at("w2").dump() +
         "\nalpha = " + all.at("alpha").dump();
}

/// The first stage that trains `modality`, after `previous` where that is no -1.
std::int64_t stage_of(int k, int modality, int previous) {
  return previous < 0 || modality > 0 ? modality : k;
}

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
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.backward_passes_per_step, 1);
}

template <class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    return error.what();
  }
  return "";
}

TEST(ReconBoost, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("boosting_passes = 0", "boosting_passes");
  poise::testing::expect_refused<poise::Modulation>("rectification_passes = 0", "rectification_passes");
  poise::testing::expect_refused<poise::Modulation>("w1 = -1", "w1 is -1");

  Setting setting(oracle("reconboost").at("rectification").at("two"));
  setting.batch.targets = setting.batch.targets.to(at::kDouble);
  EXPECT_NE(refusal([&] { setting.plugin->step(setting.batch, setting.trainer); }).find("no classes"),
            std::string::npos);
  setting.network.other_width = 7;
  EXPECT_NE(refusal([&] { setting.plugin->begin(setting.trainer); }).find("one width"), std::string::npos);
}

}  // namespace

POISE_CONFORMANCE("boosting_passes = 1\nrectification_passes = 1");
