// MMPareto's weights and gradients on the small networks of tests/oracles/mmpareto.py, and in the corners of its rule.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mmpareto_setting.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace mmpareto_test;

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(MmPareto, Oracle, ::testing::Values("agree", "conflict", "three"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, CosinesWeightsAndGradients) {
  const Bench bench(GetParam());
  EXPECT_TRUE(is_close(bench.trainer.recorded.at("cos"), tensor_of(bench.one_case["cos"])));
  EXPECT_TRUE(is_close(bench.trainer.recorded.at("w"), tensor_of(bench.one_case["w"])));
  const auto gradients = bench.gradients();
  ASSERT_EQ(gradients.size(), bench.one_case["gradients"].size());
  for (const auto& [name, expected] : bench.one_case["gradients"].items()) {
    ASSERT_TRUE(gradients.at(name).defined()) << name;
    EXPECT_TRUE(is_close(gradients.at(name), tensor_of(expected))) << name << gradients.at(name);
  }
}

TEST_P(Oracle, IsNoneOfTheMistakes) {
  const Bench bench(GetParam());
  const Tensor& cos = bench.trainer.recorded.at("cos");
  EXPECT_GT(poise::testing::difference(cos, tensor_of(bench.one_case["mistake_cos"])), 0.05);
  const auto gradients = bench.gradients();
  for (const auto& [key, mistake] : bench.one_case.items()) {
    if (!key.starts_with("mistake_") || !mistake.is_object()) continue;
    double largest = 0;
    for (const auto& [name, values] : mistake.items()) {
      largest = std::max(largest, poise::testing::difference(gradients.at(name), tensor_of(values)));
    }
    EXPECT_GT(largest, 0.02) << key;
  }
}

TEST_P(Oracle, OneStepCostsThePassesThatItDeclares) {
  const Bench bench(GetParam());
  const int k = bench.one_case["k"];
  EXPECT_EQ(bench.trainer.passes, make<poise::Modulation>()->requirements(k).backward_passes_per_step);
  EXPECT_EQ(bench.trainer.updates.steps, 1);
  EXPECT_NEAR(bench.trainer.total, tensor_of(bench.one_case["losses"]).sum().item<double>(), 1e-12)
      << "the loss that is counted is that of the method";
}

TEST(MmPareto, GammaScalesTheEncodersAlone) {
  const auto once = Bench("conflict", "gamma = 1.0").gradients();
  const auto twice = Bench("conflict", "gamma = 2.0").gradients();
  for (const auto& [name, gradient] : once) {
    const double factor = name.starts_with("encoder.") ? 2 : 1;
    EXPECT_TRUE(is_close(twice.at(name), factor * gradient)) << name;
  }
}

/// Two encoders of one vector each.
class TwoVectors : public poise::testing::FixedLogits {
 public:
  explicit TwoVectors(std::int64_t size) : FixedLogits(2) {
    show(at::zeros({3, 2, 3}, at::kDouble));
    for (int m = 0; m < 2; ++m) encoders.push_back({at::zeros({size}, at::kDouble).requires_grad_()});
  }

  Tensor encode(const Batch& batch, int /*m*/) override { return at::zeros({batch.size(), 1}, at::kDouble); }
  std::vector<Tensor> parameters() const override { return parameters(Role::encoder); }
  std::vector<Tensor> parameters(Role role) const override {
    std::vector<Tensor> all;
    for (int m = 0; m < 2; ++m) {
      for (const auto& parameter : parameters(role, m)) all.push_back(parameter);
    }
    return all;
  }
  std::vector<Tensor> parameters(Role role, int m) const override {
    return role == Role::encoder ? encoders.at(static_cast<std::size_t>(m)) : std::vector<Tensor>();
  }

  std::vector<std::vector<Tensor>> encoders;
};

/// L has the gradient g for both encoders, L_0 and L_1 have g_m.
class GivenGradients : public SmallTrainer {
 public:
  GivenGradients(TwoVectors& network, Tensor g, Tensor g_m)
      : SmallTrainer(network), network_(network), g_(std::move(g)), g_m_(std::move(g_m)) {}

  std::vector<Tensor> gradients(const Tensor& /*loss*/, const std::vector<Tensor>& parameters) override {
    return std::vector<Tensor>(parameters.size(), g_);
  }
  void backward(const Tensor& /*loss*/) override {
    for (const auto& encoder : network_.encoders) encoder.front().mutable_grad() = g_m_.clone();
  }

 private:
  TwoVectors& network_;
  Tensor g_;
  Tensor g_m_;
};

TEST(MmPareto, FollowsTheRuleIntoItsCorners) {
  const auto values = oracle("mmpareto");
  ASSERT_EQ(values["combine"].size(), 8U);
  for (const auto& [name, corner] : values["combine"].items()) {
    const Tensor g = tensor_of(corner["g"]);
    const Tensor g_m = tensor_of(corner["g_m"]);
    TwoVectors network(g.size(0));
    GivenGradients trainer(network, g, g_m);
    Batch batch;
    batch.targets = at::zeros({2}, at::kLong);
    const auto plugin = make<poise::Modulation>();
    plugin->begin(trainer);
    plugin->step(batch, trainer);
    // Where the oracle's s is no sum of the two, it decides on the length alone.
    const bool has_length = is_close(g + g_m, tensor_of(corner["s"]));
    const Tensor expected = tensor_of(corner["gradient"]);
    for (int m = 0; m < 2; ++m) {
      EXPECT_NEAR(trainer.recorded.at("cos")[m].item<double>(), corner["cos"].get<double>(), 1e-9) << name;
      EXPECT_NEAR(trainer.recorded.at("w")[m].item<double>(), corner["w"].get<double>(), 1e-9) << name;
      const Tensor gradient = network.parameters(Role::encoder, m).front().grad();
      if (has_length || expected.abs().max().item<double>() == 0) {
        EXPECT_TRUE(is_close(gradient, expected)) << name << gradient;
      } else {
        EXPECT_TRUE(is_close(gradient / gradient.norm(), expected / expected.norm())) << name << gradient;
      }
    }
  }
}

TEST(MmPareto, RefusesAnEncoderWithoutParameters) {
  TwoVectors network(5);
  network.encoders[1].clear();
  SmallTrainer trainer(network);
  const auto sentence = poise::testing::refusal([&] { make<poise::Modulation>()->begin(trainer); });
  EXPECT_NE(sentence.find("the encoder of '1' has no parameters"), std::string::npos) << sentence;
}

TEST(MmPareto, RefusesWrongOptionsByName) {
  poise::testing::expect_refused<poise::Modulation>("gamma = -1.0", "gamma is -1");
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_FALSE(needs.symmetric);
}

}  // namespace

POISE_CONFORMANCE("");
