// Metrics against values worked out by hand.
#include "analysis/scores.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace poise {
namespace {

double of(const Metrics& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

torch::Tensor flags(const std::vector<int>& values, std::int64_t columns) {
  return at::tensor(values, at::kInt).view({-1, columns}).to(at::kBool);
}

TEST(Scores, AveragePrecisionIsTheMeanPrecisionAtTheHits) {
  // By falling score: hit, miss, hit, miss: (1/1 + 2/3) / 2.
  const auto scores = at::tensor({0.6, 0.9, 0.7, 0.8}, at::kDouble).unsqueeze(1);
  EXPECT_NEAR(mean_average_precision(scores, flags({0, 1, 1, 0}, 1)), (1.0 + 2.0 / 3) / 2, 1e-15);
}

TEST(Scores, EqualScoresShareThePrecisionAtTheirLastRank) {
  const auto scores = at::tensor({0.5, 0.5, 0.9, 0.5}, at::kDouble).unsqueeze(1);
  // 0.9 is a miss; the three at 0.5 hold two hits, so both have 2/4, wherever they stand.
  EXPECT_NEAR(mean_average_precision(scores, flags({1, 1, 0, 0}, 1)), 0.5, 1e-15);
  EXPECT_NEAR(mean_average_precision(scores, flags({0, 1, 0, 1}, 1)), 0.5, 1e-15);
}

TEST(Scores, AClassThatDoesNotOccurIsLeftOut) {
  const auto scores = at::tensor({0.9, 0.1, 0.2, 0.8}, at::kDouble).view({2, 2});
  EXPECT_NEAR(mean_average_precision(scores, flags({1, 0, 0, 0}, 2)), 1, 1e-15);
  EXPECT_TRUE(std::isnan(mean_average_precision(scores, flags({0, 0, 0, 0}, 2))));
}

TEST(Scores, MacroF1CountsAnEmptyClassAsZero) {
  // Class 0: 1 hit, 1 false alarm: 2/3. Class 1: 1 hit, 1 miss: 2/3. Class 2: neither there nor predicted.
  const auto predicted = flags({1, 0, 0, 1, 0, 0, 0, 1, 0}, 3);
  const auto actual = flags({1, 0, 0, 0, 1, 0, 0, 1, 0}, 3);
  EXPECT_NEAR(macro_f1(predicted, actual), (2.0 / 3 + 2.0 / 3 + 0) / 3, 1e-15);
}

TEST(Scores, OfClasses) {
  const auto logits = at::tensor({2.0, 1.0, 0.0, 3.0, 5.0, 4.0}).view({3, 2});
  const auto metrics = metrics_of({.outputs = 2, .labels = {}}, logits, at::tensor({0, 1, 1}, at::kLong));
  EXPECT_EQ(metrics.front().first, main_metric({.outputs = 2, .labels = {}}));
  EXPECT_NEAR(of(metrics, "accuracy"), 2.0 / 3, 1e-15);
  // Class 0: 1 hit, 1 false alarm: 2/3. Class 1: 1 hit, 1 miss: 2/3.
  EXPECT_NEAR(of(metrics, "macro_f1"), 2.0 / 3, 1e-15);
  // Probability of class 0: logits' differences 1, -3, 1: ranks of the hit: shares the precision 1/2 of the tie.
  // Class 1: 3 first (hit), then the tie of sample 0 and 2: 2 of 3.
  EXPECT_NEAR(of(metrics, "mean_average_precision"), (1.0 / 2 + (1.0 + 2.0 / 3) / 2) / 2, 1e-12);
}

TEST(Scores, OfLabels) {
  const Task task{.kind = TaskKind::multi_label, .outputs = 2, .labels = {}};
  const auto logits = at::tensor({1.0, -1.0, -2.0, 2.0}).view({2, 2});
  const auto metrics = metrics_of(task, logits, at::tensor({1.0, 1.0, 0.0, 1.0}).view({2, 2}));
  EXPECT_EQ(metrics.front().first, main_metric(task));
  EXPECT_NEAR(of(metrics, "accuracy"), 0.75, 1e-15);
  EXPECT_NEAR(of(metrics, "macro_f1"), (1 + 2.0 / 3) / 2, 1e-15);
  EXPECT_NEAR(of(metrics, "mean_average_precision"), 1, 1e-15);
}

TEST(Scores, OfNumbers) {
  const Task task{.kind = TaskKind::regression, .outputs = 2, .labels = {}};
  const auto targets = at::tensor({1.0, 0.0, -1.0, 2.0}, at::kDouble).view({2, 2});
  const auto predictions = at::tensor({0.5, 1.0, -1.0, 1.0}, at::kDouble).view({2, 2});
  const auto metrics = metrics_of(task, predictions, targets);
  EXPECT_EQ(metrics.front().first, main_metric(task));
  // Squared errors 0.25 and 2 of variations 2 and 2.
  EXPECT_NEAR(of(metrics, "r2"), ((1 - 0.25 / 2) + (1 - 2.0 / 2)) / 2, 1e-15);
  EXPECT_NEAR(of(metrics, "mse"), (0.25 + 2.0) / 4, 1e-15);
}

}  // namespace
}  // namespace poise
