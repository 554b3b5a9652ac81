#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "poise/optimizer.h"

namespace poise {
namespace {

torch::Tensor parameter(const std::vector<double>& gradient) {
  auto tensor = torch::zeros({static_cast<std::int64_t>(gradient.size())}, torch::kFloat64).requires_grad_();
  tensor.mutable_grad() = torch::tensor(gradient, torch::kFloat64);
  return tensor;
}

std::vector<double> gradient_of(const torch::Tensor& parameter) {
  const auto& values = parameter.grad();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

TEST(ClipGradientsTest, ScalesAllByTheNormOfAllTogether) {
  // |(3, 4, 12)| = 13
  const auto a = parameter({3, -4});
  const auto b = parameter({12});
  clip_gradients({a, b}, 6.5);
  const double factor = 6.5 / (13 + 1e-6);
  EXPECT_NEAR(gradient_of(a)[0], 3 * factor, 1e-15);
  EXPECT_NEAR(gradient_of(a)[1], -4 * factor, 1e-15);
  EXPECT_NEAR(gradient_of(b)[0], 12 * factor, 1e-15);
}

TEST(ClipGradientsTest, ChangesNoBitOfWhatIsShortEnough) {
  const std::vector<double> values = {0.1, -1.0 / 3, 1e-300};
  const auto a = parameter(values);
  clip_gradients({a}, 0.5);
  EXPECT_EQ(gradient_of(a), values);
  const auto zero = parameter({0, 0});
  clip_gradients({zero}, 1);
  EXPECT_EQ(gradient_of(zero), (std::vector<double>{0, 0}));
}

TEST(ClipGradientsTest, OnlyWhereTheConditionHolds) {
  const auto a = parameter({3, 4});
  clip_gradients({a}, 1, torch::tensor(false));
  EXPECT_EQ(gradient_of(a), (std::vector<double>{3, 4}));
  clip_gradients({a}, 1, torch::tensor(true));
  EXPECT_NEAR(std::hypot(gradient_of(a)[0], gradient_of(a)[1]), 1.0, 1e-6);
}

TEST(ClipGradientsTest, PassesOverParametersWithoutAGradient) {
  const auto without = torch::zeros({2}, torch::kFloat64).requires_grad_();
  const auto a = parameter({0, 2});
  clip_gradients({without, a}, 1);
  EXPECT_FALSE(without.grad().defined());
  EXPECT_NEAR(gradient_of(a)[1], 1.0, 1e-6);
  EXPECT_NO_THROW(clip_gradients({without}, 1));
  EXPECT_NO_THROW(clip_gradients({}, 1));
}

}  // namespace
}  // namespace poise
