// AGM's strengths, references and coefficients against values that tests/oracles/agm.py derived from the formulas
// (responses as means over all orders of the modalities) before this plugin was written.
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::testing::FixedLogits;
using poise::testing::RecordingTrainer;
using poise::testing::tensor_of;
using torch::Tensor;

std::string options(const nlohmann::json& c) {
  return "alpha = " + c.at("alpha").dump() + "\ncap = " + c.at("cap").dump() + "\nclip = 0";
}

nlohmann::json case_of(const std::string& name) { return poise::testing::oracle("agm").at("cases").at(name); }

nlohmann::json steps_of(const std::string& name) { return case_of(name).at("steps"); }

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Agm, Oracle, ::testing::Values("two", "three", "four", "floor", "cap", "identical"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, StrengthsCoefficientsAndGradients) {
  const auto c = case_of(GetParam());
  const int k = c.at("k");
  const auto agm = poise::testing::make<poise::Modulation>(options(c));
  FixedLogits network(k);
  RecordingTrainer trainer(network);
  network.show(tensor_of(c.at("steps").at(0).at("logits")));
  agm->begin(trainer);
  for (const auto& step : c.at("steps")) {
    const Tensor z = network.show(tensor_of(step.at("logits")));
    poise::Batch batch;
    batch.targets = tensor_of(step.at("targets")).to(at::kLong);
    const Tensor loss = agm->loss(batch, trainer);
    // The loss is that of the full logits themselves.
    EXPECT_EQ(loss.item<double>(), trainer.objective().loss(z[-1], batch).item<double>());
    loss.backward();
    for (const std::string name : {"r", "tau", "kappa"}) {
      const Tensor expected = tensor_of(step.at(name));
      EXPECT_TRUE(at::allclose(trainer.recorded.at(name), expected, 1e-12, 1e-300))
          << name << ": " << trainer.recorded.at(name) << " is not " << expected;
    }
    EXPECT_TRUE(at::allclose(z.grad(), tensor_of(step.at("gradient")), 1e-11, 1e-15));
  }
}

TEST(Agm, TwoModalitiesHaveReciprocalRatios) {
  const auto steps = steps_of("two");
  const auto agm = poise::testing::make<poise::Modulation>();
  FixedLogits network(2);
  RecordingTrainer trainer(network);
  poise::Batch batch;
  batch.targets = tensor_of(steps.at(0).at("targets")).to(at::kLong);
  network.show(tensor_of(steps.at(0).at("logits")));
  agm->begin(trainer);
  agm->loss(batch, trainer);
  EXPECT_NEAR(trainer.recorded.at("r").prod().item<double>(), 1, 1e-12);
  EXPECT_EQ(trainer.recorded.at("tau").min().item<double>(), 1);
  EXPECT_EQ(trainer.recorded.at("tau").max().item<double>(), 1);
}

TEST(Agm, SwappedModalitiesSwapKappa) {
  const auto step = steps_of("two").at(0);
  const Tensor z = tensor_of(step.at("logits"));
  Tensor kappa[2];
  for (const int swapped : {0, 1}) {
    const auto agm = poise::testing::make<poise::Modulation>();
    FixedLogits network(2);
    RecordingTrainer trainer(network);
    poise::Batch batch;
    batch.targets = tensor_of(step.at("targets")).to(at::kLong);
    network.show(swapped != 0 ? at::stack({z[1], z[0], z[2]}) : z);
    agm->begin(trainer);
    agm->loss(batch, trainer);
    kappa[swapped] = trainer.recorded.at("kappa");
  }
  EXPECT_TRUE(at::allclose(kappa[0], kappa[1].flip(0), 1e-12));
  EXPECT_GT((kappa[0][0] - kappa[0][1]).abs().item<double>(), 1e-3);
}

TEST(Agm, AfterTheWindowKappaReturnsToOneOrStays) {
  const auto step = steps_of("two").at(0);
  for (const bool stays : {false, true}) {
    const auto agm = poise::testing::make<poise::Modulation>(
        std::string("window = [0, 1]\nclip = 0\nstays = ") + (stays ? "true" : "false"));
    FixedLogits network(2);
    RecordingTrainer trainer(network);
    poise::Batch batch;
    batch.targets = tensor_of(step.at("targets")).to(at::kLong);
    network.show(tensor_of(step.at("logits")));
    agm->begin(trainer);
    trainer.current_epoch = 1;
    agm->loss(batch, trainer);
    const Tensor last = trainer.recorded.at("kappa").clone();
    trainer.recorded.clear();
    trainer.current_epoch = 2;
    const Tensor z = network.show(tensor_of(step.at("logits")));
    agm->loss(batch, trainer).backward();
    if (stays) {
      EXPECT_TRUE(at::equal(trainer.recorded.at("kappa"), last));
      EXPECT_FALSE(trainer.recorded.contains("tau")) << "after the window nothing is measured";
      EXPECT_GT(z.grad()[0].abs().max().item<double>(), 0);
    } else {
      EXPECT_TRUE(trainer.recorded.empty());
      EXPECT_EQ(z.grad()[0].abs().max().item<double>(), 0) << "the masked branches are left out";
    }
  }
}

TEST(Agm, StateSurvivesARestart) {
  const auto steps = steps_of("three");
  const auto run = [&](std::size_t restart_before) {
    auto agm = poise::testing::make<poise::Modulation>();
    FixedLogits network(3);
    RecordingTrainer trainer(network);
    network.show(tensor_of(steps.at(0).at("logits")));
    agm->begin(trainer);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (i == restart_before) {
        poise::testing::StoredState stored;
        agm->visit(stored);
        stored.restoring = true;
        agm = poise::testing::make<poise::Modulation>();
        stored.tensors_now = false;
        agm->visit(stored);
        agm->begin(trainer);
        stored.tensors_now = true;
        agm->visit(stored);
      }
      network.show(tensor_of(steps.at(i).at("logits")));
      poise::Batch batch;
      batch.targets = tensor_of(steps.at(i).at("targets")).to(at::kLong);
      agm->loss(batch, trainer);
    }
    return trainer.recorded.at("kappa");
  };
  EXPECT_TRUE(poise::testing::same_bits(run(2), run(100)));
}

TEST(Agm, ClipsAllGradientsWhenAnEntryOfTheHeadsWeightExceedsOne) {
  for (const double largest : {0.9, 1.1}) {
    const auto agm = poise::testing::make<poise::Modulation>();
    FixedLogits network(2);
    RecordingTrainer trainer(network);
    network.show(at::zeros({3, 2, 4}, at::kDouble));
    agm->begin(trainer);
    auto weight = network.head_weight;
    auto other = network.encoder_parameter;
    weight.mutable_grad() = at::zeros_like(weight);
    weight.mutable_grad()[0][0] = -largest;
    other.mutable_grad() = at::full_like(other, 2.0);
    agm->modulate({}, trainer);
    const double norm = std::sqrt(largest * largest + 4.0 * static_cast<double>(other.numel()));
    const double factor = largest > 1 ? 1 / (norm + 1e-6) : 1;
    EXPECT_NEAR(weight.grad()[0][0].item<double>(), -largest * factor, 1e-12);
    EXPECT_NEAR(other.grad()[0].item<double>(), 2 * factor, 1e-12);
  }
}

TEST(Agm, RefusesWrongOptionsByName) {
  poise::testing::expect_refused<poise::Modulation>("alpha = -1", "alpha is -1");
  poise::testing::expect_refused<poise::Modulation>("window = [3]", "window must be [first, last]");
  poise::testing::expect_refused<poise::Modulation>("alhpa = 1", "did you mean 'alpha'?");
  EXPECT_EQ(poise::testing::make<poise::Modulation>()->requirements(3).subsets_per_step, 7);
  EXPECT_EQ(poise::testing::make<poise::Modulation>("alpha = 0")->requirements(3).subsets_per_step, 1);
}

}  // namespace

POISE_CONFORMANCE("");
