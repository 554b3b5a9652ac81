// Each task's loss, score and correctness against its formula, and the same for stacked logits.
#include "training/objective.h"

#include <cmath>
#include <numbers>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace poise {
namespace {

double number(const torch::Tensor& scalar) { return scalar.item<double>(); }

TEST(Objective, OfClasses) {
  const auto objective = make_objective({.outputs = 3, .labels = {}});
  const auto logits =
      at::tensor({0.0, std::numbers::ln2, 0.0, std::log(6.0), 0.0, 0.0}, at::kDouble).view({2, 3});
  Batch batch;
  batch.targets = at::tensor({1, 2}, at::kLong);  // probabilities 2/4 and 1/8
  EXPECT_NEAR(number(objective->loss(logits, batch)), (std::numbers::ln2 + std::log(8.0)) / 2, 1e-12);
  EXPECT_NEAR(number(objective->score(logits, batch.targets)[0]), 0.5, 1e-12);
  EXPECT_NEAR(number(objective->score(logits, batch.targets)[1]), 0.125, 1e-12);
  EXPECT_TRUE(
      at::equal(objective->correct(logits, batch.targets), at::tensor({1, 0}, at::kInt).to(at::kBool)));
  batch.weights = at::tensor({2.0, 0.0}, at::kDouble);
  EXPECT_NEAR(number(objective->loss(logits, batch)), std::numbers::ln2, 1e-12);
}

TEST(Objective, OfLabels) {
  const auto objective = make_objective({.kind = TaskKind::multi_label, .outputs = 2, .labels = {}});
  // Probabilities 3/4 and 1/5 of labels that are 1 and 0.
  const auto logits = at::tensor({std::log(3.0), std::log(0.25)}, at::kDouble).view({1, 2});
  Batch batch;
  batch.targets = at::tensor({1.0, 0.0}, at::kDouble).view({1, 2});
  EXPECT_NEAR(number(objective->loss(logits, batch)), -(std::log(0.75) + std::log(0.8)) / 2, 1e-12);
  EXPECT_NEAR(number(objective->score(logits, batch.targets)[0]), (0.75 + 0.8) / 2, 1e-12);
  EXPECT_TRUE(objective->correct(logits, batch.targets).all().item<bool>());
  EXPECT_FALSE(objective->correct(-logits, batch.targets).any().item<bool>());
}

TEST(Objective, OfNumbers) {
  const auto objective = make_objective({.kind = TaskKind::regression, .outputs = 2, .labels = {}});
  const auto predictions = at::tensor({1.0, 0.0, 0.25, 3.0}, at::kDouble).view({2, 2});
  Batch batch;
  batch.targets = at::tensor({0.0, 0.0, 0.0, 1.0}, at::kDouble).view({2, 2});
  const double first = (1.0 + 0.0) / 2;
  const double second = (0.0625 + 4.0) / 2;
  EXPECT_NEAR(number(objective->loss(predictions, batch)), (first + second) / 2, 1e-12);
  EXPECT_NEAR(number(objective->score(predictions, batch.targets)[0]), std::exp(-first), 1e-12);
  EXPECT_TRUE(at::equal(objective->correct(predictions, batch.targets),
                        at::tensor({0, 1, 1, 0}, at::kInt).view({2, 2}).to(at::kBool)));
}

class Stacked : public ::testing::TestWithParam<TaskKind> {};
INSTANTIATE_TEST_SUITE_P(Objective, Stacked,
                         ::testing::Values(TaskKind::classification, TaskKind::multi_label,
                                           TaskKind::regression));

TEST_P(Stacked, LogitsAreTreatedOneByOne) {
  const auto objective = make_objective({.kind = GetParam(), .outputs = 3, .labels = {}});
  const auto logits = at::randn({4, 5, 3}, at::kDouble);
  const auto targets = GetParam() == TaskKind::classification ? at::randint(3, {5}, at::kLong)
                                                              : at::randint(2, {5, 3}, at::kDouble);
  const auto all = at::stack({targets, targets, targets, targets});
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(at::allclose(objective->losses(logits, all)[i], objective->losses(logits[i], targets)));
    EXPECT_TRUE(at::allclose(objective->score(logits, all)[i], objective->score(logits[i], targets)));
    EXPECT_TRUE(at::equal(objective->correct(logits, all)[i], objective->correct(logits[i], targets)));
  }
}

}  // namespace
}  // namespace poise
