// Greedy's learning speeds and schedule against values that tests/oracles/greedy.py derived from the formulas
// before this plugin was written. The oracle's replaced gates are compared in the test of mmtm.
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::testing::make;
using poise::testing::tensor_of;
using torch::Tensor;

/// Keeps what it is asked to replace.
class Gates : public poise::Fusion, public poise::GateSwitch {
 public:
  void build(const poise::FusionSpec& /*spec*/) override { throw std::logic_error("build"); }
  poise::FusionOutput forward(const std::vector<Tensor>& /*features*/,
                              const std::vector<Tensor>& /*lengths*/) override {
    throw std::logic_error("forward");
  }
  void replace_gates(const Tensor& now) override { replaced = now; }

  Tensor replaced;
};

/// The oracle's tensors in a row: main 0 (two: an encoder's and a head's) and 1 (one), bypass 0 (one) and 1 (two), and
/// two that serve both.
std::vector<Tensor> flat(const nlohmann::json& parts) {
  std::vector<Tensor> tensors;
  const auto append = [&](const nlohmann::json& list) {
    for (const auto& tensor : list) tensors.push_back(tensor_of(tensor));
  };
  for (const char* name : {"main", "bypass"}) {
    for (const auto& list : parts.at(name)) append(list);
  }
  append(parts.at("shared"));
  return tensors;
}

/// A network of the oracle's parts.
class Parts : public poise::testing::FixedLogits {
 public:
  explicit Parts(const nlohmann::json& weights) : FixedLogits(2), tensors(flat(weights)) {
    for (auto& tensor : tensors) tensor.requires_grad_();
    show(at::zeros({3, 1, 2}, at::kDouble));
  }

  poise::Fusion& fusion() override { return gates; }
  using FixedLogits::parameters;
  std::vector<Tensor> parameters(Role role, int m) const override {
    switch (role) {
      case Role::encoder: return chosen(m == 0 ? std::vector<std::size_t>{0} : std::vector<std::size_t>{2});
      case Role::head: return chosen(m == 0 ? std::vector<std::size_t>{1} : std::vector<std::size_t>{});
      case Role::bypass: break;
      default: throw std::logic_error("parameters");
    }
    if (!has_bypass) return {};
    return chosen(m == 0 ? std::vector<std::size_t>{3, 6, 7} : std::vector<std::size_t>{4, 5, 6, 7});
  }

  Gates gates;
  std::vector<Tensor> tensors;
  bool has_bypass = true;

 private:
  [[nodiscard]] std::vector<Tensor> chosen(const std::vector<std::size_t>& indices) const {
    std::vector<Tensor> result;
    for (const auto index : indices) result.push_back(tensors.at(index));
    return result;
  }
};

/// What the bypasses' gradients are.
enum class Bypass { as_stored, zero, absent };

void set_step(Parts& network, const nlohmann::json& step, Bypass bypass) {
  const at::NoGradGuard no_grad;
  const auto weights = flat(step.at("weights"));
  const auto gradients = flat(step.at("gradients"));
  ASSERT_EQ(network.tensors.size(), 8U);
  ASSERT_EQ(weights.size(), 8U);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    auto& parameter = network.tensors[i];
    parameter.copy_(weights[i]);
    const bool stored = i < 3 || bypass == Bypass::as_stored;
    parameter.mutable_grad() = stored                   ? gradients[i]
                               : bypass == Bypass::zero ? at::zeros_like(gradients[i])
                                                        : Tensor();
  }
}

struct Followed {
  std::vector<int> replaced;  ///< -1: none
  double cls = 0;             ///< the last
};

/// The modality whose gates are replaced, or -1.
int replaced_in(const Gates& gates) {
  EXPECT_EQ(gates.replaced.scalar_type(), at::kBool);
  const auto first = gates.replaced[0].item<bool>();
  const auto second = gates.replaced[1].item<bool>();
  EXPECT_FALSE(first && second);
  return first ? 0 : second ? 1 : -1;
}

/// Follows a case step by step. Before step `restart_before` the plugin is made anew from its state.
Followed follow(const nlohmann::json& c, Bypass bypass, std::size_t restart_before) {
  static const auto data = poise::testing::oracle("greedy").at("data");
  const std::string options = "epsilon = " + c.at("epsilon").dump() + "\nwindow = " + c.at("window").dump() +
                              "\nstart_epoch = " + c.at("start_epoch").dump();
  Parts network(data.at(0).at("weights"));
  poise::testing::RecordingTrainer trainer(network);
  Batch batch;
  batch.targets = at::zeros({1}, at::kLong);
  auto greedy = make<poise::Modulation>(options);
  greedy->begin(trainer);
  Followed followed;
  for (std::size_t t = 0; t < data.size(); ++t) {
    if (t == restart_before) {
      poise::testing::StoredState stored;
      greedy->visit(stored);
      stored.restoring = true;
      greedy = make<poise::Modulation>(options);
      greedy->visit(stored);
      greedy->begin(trainer);
      stored.tensors_now = true;
      greedy->visit(stored);
    }
    trainer.current_epoch = static_cast<std::int64_t>(t) / c.at("steps_per_epoch").get<std::int64_t>();
    const Tensor loss = greedy->loss(batch, trainer);
    EXPECT_EQ(loss.item<double>(), trainer.objective().loss(network.logits(batch), batch).item<double>());
    followed.replaced.push_back(replaced_in(network.gates));
    EXPECT_TRUE(at::equal(trainer.recorded.at("replaced"), network.gates.replaced));
    set_step(network, data.at(t), bypass);
    greedy->modulate(batch, trainer);
    followed.cls = trainer.recorded.at("cls").item<double>();
    const double expected = c.at("cls").at(t);
    EXPECT_NEAR(followed.cls, expected, 1e-9 * std::abs(expected)) << "step " << t;
    const auto gradients = flat(data.at(t).at("gradients"));
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(network.tensors[i].grad(), gradients[i]));
  }
  EXPECT_EQ(followed.replaced, c.at("replaced").get<std::vector<int>>());
  return followed;
}

constexpr auto never = std::numeric_limits<std::size_t>::max();

nlohmann::json case_of(const std::string& name) {
  return poise::testing::oracle("greedy").at("cases").at(name);
}

class Oracle : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Greedy, Oracle, ::testing::Values("curated", "patient", "never"),
                         [](const auto& parameter) { return parameter.param; });

TEST_P(Oracle, SpeedsAndSchedule) {
  const auto c = case_of(GetParam());
  const Followed followed = follow(c, Bypass::as_stored, never);
  for (const auto& [key, mistake] : c.items()) {
    if (key.starts_with("mistake_cls_")) {
      EXPECT_GT(std::abs(followed.cls - mistake.get<double>()), 0.04) << key;
    } else if (key.starts_with("mistake_")) {
      EXPECT_NE(followed.replaced, mistake.get<std::vector<int>>()) << key;
    }
  }
}

TEST(Greedy, ReplacesNothingWhereNoGradientReachesTheBypasses) {
  const auto c = case_of("dead");
  follow(c, Bypass::zero, never);
  follow(c, Bypass::absent, never);
}

TEST(Greedy, StateSurvivesARestartAmongReplacedGates) {
  const auto c = case_of("curated");
  ASSERT_EQ(c.at("replaced").at(9), 0);
  follow(c, Bypass::as_stored, 9);
  follow(c, Bypass::as_stored, 12);
}

TEST(Greedy, RefusesWhatItCannotCompare) {
  Parts network(poise::testing::oracle("greedy").at("data").at(0).at("weights"));
  network.has_bypass = false;
  poise::testing::RecordingTrainer trainer(network);
  try {
    make<poise::Modulation>()->begin(trainer);
    ADD_FAILURE() << "accepted";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_NE(std::string(error.what()).find("'0' has none of one kind"), std::string::npos) << error.what();
  }
  poise::testing::expect_refused<poise::Modulation>("window = -1", "window is -1");
  poise::testing::expect_refused<poise::Modulation>("epsilom = 1", "did you mean 'epsilon'?");
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_TRUE(needs.gate_switch);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, 2);
}

}  // namespace

POISE_CONFORMANCE("");
