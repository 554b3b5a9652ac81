#include "training/optimizer.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "poise/error.h"
#include "poise/testing_oracle.h"

namespace poise {
namespace {

TEST(Schedule, WarmUpThenCosineToZero) {
  const TrainSettings::Schedule cosine{"cosine", 1, 0, 0};
  // 4 steps an epoch, 5 epochs: 4 of warm-up, 16 of cosine.
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 0, 4, 5), 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 3, 4, 5), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 4, 4, 5), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 8, 4, 5), (1 + std::sqrt(0.5)) / 2);
  EXPECT_DOUBLE_EQ(schedule_factor(cosine, 12, 4, 5), 0.5);
  EXPECT_NEAR(schedule_factor(cosine, 20, 4, 5), 0, 1e-15);
}

TEST(Schedule, StepFallsOnceAnInterval) {
  const TrainSettings::Schedule step{"step", 0, 2, 0.1};
  EXPECT_DOUBLE_EQ(schedule_factor(step, 0, 3, 9), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(step, 5, 3, 9), 1);
  EXPECT_DOUBLE_EQ(schedule_factor(step, 6, 3, 9), 0.1);
  EXPECT_DOUBLE_EQ(schedule_factor(step, 12, 3, 9), 0.01);
}

TrainSettings settings(const std::string& name) {
  TrainSettings s{};
  s.optimizer = {.name = name,
                 .lr = 0.1,
                 .momentum = 0.9,
                 .nesterov = false,
                 .weight_decay = 0.01,
                 .beta1 = 0.9,
                 .beta2 = 0.999,
                 .epsilon = 1e-8};
  return s;
}

void never(std::int64_t /*step*/) { FAIL() << "all gradients are finite"; }

/// One weight 1 with gradients 0.5 and then 0.25: the weight after two updates.
double two_updates(const std::string& name) {
  auto weight = at::ones({1}, at::kDouble).requires_grad_();
  HostOptimizer optimizer(settings(name), {weight}, never);
  for (const double gradient : {0.5, 0.25}) {
    optimizer.zero();
    (weight * gradient).sum().backward();
    optimizer.step();
  }
  return weight.item<double>();
}

TEST(Optimizer, UpdatesAreThoseOfTheFormulas) {
  // SGD: g' = g + wd w; v = m v + g'; w -= lr v.
  const double v1 = 0.5 + 0.01;
  const double w1 = 1 - 0.1 * v1;
  const double v2 = 0.9 * v1 + 0.25 + 0.01 * w1;
  EXPECT_NEAR(two_updates("sgd"), w1 - 0.1 * v2, 1e-14);
  // Adam(W): m, s running means of g and g^2 with bias correction; w -= lr m^ / (sqrt(s^) + eps).
  const auto adam = [](bool decoupled) {
    double w = 1, m = 0, s = 0;
    int t = 0;
    for (double g : {0.5, 0.25}) {
      ++t;
      if (decoupled)
        w *= 1 - 0.1 * 0.01;
      else
        g += 0.01 * w;
      m = 0.9 * m + 0.1 * g;
      s = 0.999 * s + 0.001 * g * g;
      w -= 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(s / (1 - std::pow(0.999, t))) + 1e-8);
    }
    return w;
  };
  EXPECT_NEAR(two_updates("adam"), adam(false), 1e-12);
  EXPECT_NEAR(two_updates("adamw"), adam(true), 1e-12);
}

TEST(Optimizer, SavedStateGoesOnBitForBit) {
  for (const std::string name : {"sgd", "adam", "adamw"}) {
    const auto run = [&](bool restart) {
      auto weight = at::linspace(-1, 1, 5, at::kFloat).requires_grad_();
      auto optimizer =
          std::make_unique<HostOptimizer>(settings(name), std::vector<torch::Tensor>{weight}, never);
      for (int i = 0; i < 4; ++i) {
        if (restart && i == 2) {
          const auto saved = optimizer->saved();
          optimizer =
              std::make_unique<HostOptimizer>(settings(name), std::vector<torch::Tensor>{weight}, never);
          optimizer->restore(saved);
        }
        optimizer->set_schedule_factor(1.0 / (1 + i));
        optimizer->zero();
        (weight * weight * weight).sum().backward();
        optimizer->step();
      }
      return weight.detach();
    };
    EXPECT_TRUE(at::equal(run(false), run(true))) << name;
  }
}

TEST(Optimizer, EachParameterHasARateOfItsOwn) {
  for (const std::string name : {"sgd", "adam", "adamw"}) {
    const auto moved = [&](double factor, bool scales_gradient) {
      auto s = settings(name);
      s.optimizer.weight_decay = 0;
      auto weight = at::ones({1}, at::kDouble).requires_grad_();
      auto other = at::ones({1}, at::kDouble).requires_grad_();
      HostOptimizer optimizer(s, {weight, other}, never);
      if (!scales_gradient) optimizer.set_rate_factor({weight}, factor);
      for (const double gradient : {0.5, 0.25}) {
        weight.mutable_grad() = at::full({1}, scales_gradient ? factor * gradient : gradient, at::kDouble);
        other.mutable_grad() = at::full({1}, gradient, at::kDouble);
        optimizer.step();
      }
      return std::pair(1 - weight.item<double>(), 1 - other.item<double>());
    };
    const auto [full, unused] = moved(1, false);
    const auto [tenth, untouched] = moved(0.1, false);
    EXPECT_NEAR(tenth, full / 10, 1e-12) << name;
    EXPECT_EQ(untouched, full) << name;
    // A factor on gradients is another thing: Adam undoes it.
    EXPECT_NEAR(moved(0.1, true).first, name == "sgd" ? full / 10 : full, 1e-6) << name;
  }
}

/// A factor on the rate, by tests/oracles/mslr.py: one on the gradient is another path, which AdamW undoes.
TEST(Optimizer, AFactorActsOnTheRateAndNotOnTheGradient) {
  const auto updates = testing::oracle("mslr").at("updates");
  for (const std::string name : {"sgd", "adamw"}) {
    TrainSettings given = settings(name);
    given.optimizer.lr = updates.at("rate");
    given.optimizer.weight_decay = updates.at("decay");
    given.optimizer.momentum = updates.at("momentum");
    auto weight = testing::tensor_of(updates.at("start")).requires_grad_();
    HostOptimizer optimizer(given, {weight}, never);
    const auto gradients = testing::tensor_of(updates.at("gradients"));
    const auto path = testing::tensor_of(updates.at(name).at("path"));
    for (std::int64_t step = 0; step < gradients.size(0); ++step) {
      optimizer.set_rate_factor({weight}, updates.at("factors").at(static_cast<std::size_t>(step)));
      weight.mutable_grad() = gradients[step].clone();
      optimizer.step();
      EXPECT_LT((weight.detach() - path[step]).abs().max().item<double>(), 1e-12) << name << " " << step;
    }
    const auto mistake = testing::tensor_of(updates.at(name).at("mistake_gradient_factor"));
    EXPECT_GT((mistake - path).abs().max().item<double>(), 1e-3) << name;
  }
}

TEST(Optimizer, PartsMoveAloneStandStillAndForget) {
  auto s = settings("sgd");
  s.optimizer.weight_decay = 0;
  auto a = at::zeros({1}, at::kDouble).requires_grad_();
  auto b = at::zeros({1}, at::kDouble).requires_grad_();
  HostOptimizer optimizer(s, {a}, never);
  optimizer.add({b});
  const auto give = [&] {
    a.mutable_grad() = at::ones({1}, at::kDouble);
    b.mutable_grad() = at::ones({1}, at::kDouble);
  };
  give();
  optimizer.step({a});  // a: v = 1
  EXPECT_DOUBLE_EQ(a.item<double>(), -0.1);
  EXPECT_EQ(b.item<double>(), 0);
  EXPECT_TRUE(b.grad().defined()) << "its gradient stays";
  optimizer.step();  // a: v = 0.9 + 1; b: v = 1
  EXPECT_DOUBLE_EQ(a.item<double>(), -0.1 - 0.19);
  EXPECT_DOUBLE_EQ(b.item<double>(), -0.1);
  optimizer.forget({a});
  optimizer.step();  // a: v = 1 again; b: 1.9
  EXPECT_DOUBLE_EQ(a.item<double>(), -0.29 - 0.1);
  EXPECT_DOUBLE_EQ(b.item<double>(), -0.1 - 0.19);
  optimizer.freeze({b});
  optimizer.step();
  EXPECT_DOUBLE_EQ(b.item<double>(), -0.29) << "no momentum moves what is frozen";
  EXPECT_THROW(optimizer.freeze({at::ones({1})}), Error);
}

TEST(Optimizer, ClipsToTheNormAndNamesTheStepOfANaN) {
  auto weight = at::zeros({2}, at::kDouble).requires_grad_();
  auto s = settings("sgd");
  s.optimizer.momentum = s.optimizer.weight_decay = 0;
  s.clip = 1;
  std::int64_t bad = -1;
  HostOptimizer optimizer(s, {weight}, [&](std::int64_t step) {
    bad = step;
    throw Error("not finite");
  });
  weight.mutable_grad() = at::tensor({3.0, 4.0}, at::kDouble);
  optimizer.step();
  EXPECT_NEAR(weight[0].item<double>(), -0.1 * 3 / (5 + 1e-6), 1e-14);
  weight.mutable_grad() = at::tensor({1.0, std::nan("")}, at::kDouble);
  optimizer.training_step = 1;
  EXPECT_THROW(optimizer.step(), Error);
  EXPECT_EQ(bad, 1);
  EXPECT_TRUE(weight.isfinite().all().item<bool>()) << "the update must not happen";
}

}  // namespace
}  // namespace poise
