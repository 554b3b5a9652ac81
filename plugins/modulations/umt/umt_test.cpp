// UMT's loss and gradients against values stored by tests/oracles/umt.py.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::same_bits;
using poise::testing::tensor_of;
using torch::Tensor;

std::vector<Tensor> leaves_of(const nlohmann::json& list) {
  std::vector<Tensor> leaves;
  for (const auto& element : list) leaves.push_back(tensor_of(element).requires_grad_());
  return leaves;
}

/// Features f_m that are leaves, and z = sum_m f_m W_m^T + b.
class Linear : public poise::testing::FixedLogits {
 public:
  explicit Linear(const nlohmann::json& one_case)
      : FixedLogits(static_cast<int>(one_case.at("features").size())),
        f(leaves_of(one_case.at("features"))),
        w(leaves_of(one_case.at("weights"))),
        b(tensor_of(one_case.at("bias")).requires_grad_()) {}

  std::int64_t outputs() const override { return b.size(0); }
  std::int64_t width(int m) const override { return f.at(static_cast<std::size_t>(m)).size(1); }
  Tensor encode(const Batch& /*batch*/, int m) override { return f.at(static_cast<std::size_t>(m)); }
  Tensor logits(const Batch& /*batch*/) override {
    Tensor z = b;
    for (std::size_t m = 0; m < w.size(); ++m) z = z + at::matmul(f[m], w[m].t());
    return z;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }

  std::vector<Tensor> f;
  std::vector<Tensor> w;
  Tensor b;
};

/// Its teachers have the features of the oracle, and would take a gradient if they were given one.
class Taught : public poise::testing::RecordingTrainer {
 public:
  Taught(poise::Network& network, const nlohmann::json& one_case)
      : RecordingTrainer(network), teachers(leaves_of(one_case.at("teachers"))) {}

  Tensor teacher_feature(const Batch& /*batch*/, int m) override {
    ++asked;
    return teachers.at(static_cast<std::size_t>(m));
  }

  std::vector<Tensor> teachers;
  int asked = 0;
};

/// The loss of a case of the oracle, differentiated.
struct Bench {
  explicit Bench(const nlohmann::json& one_case)
      : Bench(one_case, "lambda = " + one_case.at("lambda").dump()) {}
  Bench(const nlohmann::json& one_case, const std::string& options)
      : network(one_case), trainer(network, one_case) {
    Batch batch;
    batch.targets = tensor_of(one_case.at("targets")).to(at::kLong);
    const auto umt = make<poise::Modulation>(options);
    umt->begin(trainer);
    loss = umt->loss(batch, trainer);
    loss.backward();
  }

  Linear network;
  Taught trainer;
  Tensor loss;
};

nlohmann::json case_of(const std::string& name) { return oracle("umt").at("cases").at(name); }

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Umt, Oracle, ::testing::Values("two", "three", "no_teacher"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, LossAndGradients) {
  const auto c = case_of(GetParam());
  Bench bench(c);
  EXPECT_NEAR(bench.loss.item<double>() / c.at("loss").get<double>(), 1, 1e-12);
  for (std::size_t m = 0; m < bench.network.f.size(); ++m) {
    EXPECT_LT(difference(bench.network.f[m].grad(), tensor_of(c.at("gradients").at(m))), 1e-11) << m;
    EXPECT_LT(difference(bench.network.w[m].grad(), tensor_of(c.at("gradient_weights").at(m))), 1e-11) << m;
    EXPECT_FALSE(bench.trainer.teachers[m].grad().defined()) << "a gradient reaches teacher " << m;
  }
  EXPECT_LT(difference(bench.network.b.grad(), tensor_of(c.at("gradient_bias"))), 1e-11);
  for (const auto& [name, value] : c.items()) {
    if (!name.starts_with("mistake_loss_")) continue;
    EXPECT_GT(std::abs(bench.loss.item<double>() / value.get<double>() - 1), 1e-3) << name;
  }
}

TEST(Umt, RecordsTheDistanceOfEachModality) {
  const auto c = case_of("three");
  const Bench bench(c);
  const Tensor recorded = bench.trainer.recorded.at("distillation");
  EXPECT_LT(difference(recorded, tensor_of(c.at("distillation"))), 1e-12);
  EXPECT_FALSE(recorded.requires_grad());
}

TEST(Umt, WeighsTenUnlessToldOtherwise) {
  const auto c = case_of("two");
  ASSERT_EQ(c.at("lambda").get<double>(), 10);
  EXPECT_TRUE(same_bits(Bench(c, "").loss, Bench(c).loss));
}

TEST(Umt, SwappedModalitiesSwapGradients) {
  const auto c = case_of("two");
  auto swapped = c;
  for (const std::string name : {"features", "teachers", "weights"})
    std::swap(swapped[name][0], swapped[name][1]);
  const Bench one(c);
  const Bench two(swapped);
  for (std::size_t m = 0; m < 2; ++m) {
    EXPECT_LT(difference(two.network.f[m].grad(), one.network.f[1 - m].grad()), 1e-12) << m;
  }
}

TEST(Umt, WithoutWeightLeavesTheTeachersAlone) {
  const auto c = case_of("two");
  const Bench bench(c, "lambda = 0.0");
  EXPECT_EQ(bench.trainer.asked, 0);
  EXPECT_TRUE(bench.trainer.recorded.empty());
  EXPECT_NEAR(bench.loss.item<double>(), c.at("joint").get<double>(), 1e-12);
  EXPECT_FALSE(make<poise::Modulation>("lambda = 0.0")->requirements(2).teachers);
}

TEST(Umt, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_TRUE(needs.teachers);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, poise::max_modalities);
  EXPECT_EQ(needs.subsets_per_step, 1);
  EXPECT_EQ(needs.backward_passes_per_step, 1);
}

TEST(Umt, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("lambda = -1", "lambda is -1");
  poise::testing::expect_refused<poise::Modulation>("lamda = 1", "lambda");
}

}  // namespace

POISE_CONFORMANCE("");
