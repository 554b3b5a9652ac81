// DGL's gradients on the small networks of tests/oracles/dgl.py.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

using Named = std::map<std::string, Tensor>;

Named leaves_of(const nlohmann::json& parameters) {
  Named named;
  for (const auto& [name, values] : parameters.items()) named[name] = tensor_of(values).requires_grad_();
  return named;
}

/// `concat`: z = sum_m f_m W_m^T + b; `mlp`: one hidden layer. Counts its passes in a buffer, as BatchNorm does.
class SmallFusion : public poise::Fusion {
 public:
  explicit SmallFusion(Named given) : named_(std::move(given)) {}

  void build(const poise::FusionSpec& /*spec*/) override {}
  poise::FusionOutput forward(const std::vector<Tensor>& features,
                              const std::vector<Tensor>& /*lengths*/) override {
    {
      const at::NoGradGuard no_grad;
      passes.add_(1);
    }
    const Tensor all = at::cat(features, 1);
    if (named_.contains("fusion.hidden.weight")) {
      const Tensor hidden = at::tanh(linear(all, "fusion.hidden"));
      return {.logits = linear(hidden, "fusion.output"), .feature = hidden};
    }
    Tensor z = named_.at("fusion.bias");
    for (std::size_t m = 0; m < features.size(); ++m) {
      z = z + at::matmul(features[m], named_.at("fusion.weight." + std::to_string(m)).t());
    }
    return {.logits = z, .feature = all};
  }

  Tensor passes = register_buffer("passes", at::zeros({1}, at::kDouble));

 private:
  Tensor linear(const Tensor& x, const std::string& layer) const {
    return at::linear(x, named_.at(layer + ".weight"), named_.at(layer + ".bias"));
  }

  Named named_;
};

/// The oracle's network in training mode.
class SmallNetwork : public poise::testing::FixedLogits {
 public:
  explicit SmallNetwork(const nlohmann::json& one_case)
      : FixedLogits(one_case.at("k").get<int>()),
        named(leaves_of(one_case.at("parameters"))),
        small_fusion(named) {}

  std::int64_t outputs() const override { return 3; }
  std::int64_t width(int /*m*/) const override { return 3; }

  const std::vector<Tensor>& features(const Batch& batch) override {
    for (std::size_t m = encoded_.size(); m < batch.inputs.size(); ++m) {
      encoded_.push_back(encoded(batch.inputs[m], "encoder." + std::to_string(m)));
    }
    return encoded_;
  }
  poise::FusionOutput fuse(const Batch& /*batch*/, const std::vector<Tensor>& features,
                           const Tensor& keep) override {
    std::vector<Tensor> kept;
    for (std::size_t m = 0; m < features.size(); ++m) {
      kept.push_back(keep.defined() ? features[m] * keep.select(1, static_cast<std::int64_t>(m)).unsqueeze(1)
                                    : features[m]);
    }
    return small_fusion.forward(kept, {});
  }
  poise::Fusion& fusion() override { return small_fusion; }
  Tensor logits(const Batch& /*batch*/) override { throw std::logic_error("logits"); }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }

  std::vector<Tensor> parameters() const override { return beginning(""); }
  std::vector<Tensor> parameters(Role role) const override {
    return beginning(role == Role::encoder ? "encoder." : "fusion.");
  }
  std::vector<Tensor> parameters(Role /*role*/, int /*m*/) const override {
    throw std::logic_error("parameters");
  }

  Named named;
  SmallFusion small_fusion;

 private:
  Tensor encoded(const Tensor& x, const std::string& encoder) const {
    const auto of = [&](const std::string& name) { return named.at(encoder + name); };
    Tensor hidden = at::linear(x, of(".first.weight"), of(".first.bias"));
    if (named.contains(encoder + ".norm.weight")) {
      hidden = at::batch_norm(hidden, of(".norm.weight"), of(".norm.bias"), {}, {}, true, 0.1, 1e-5, false);
    }
    return at::linear(at::tanh(hidden), of(".second.weight"), of(".second.bias"));
  }
  std::vector<Tensor> beginning(const std::string& prefix) const {
    std::vector<Tensor> found;
    for (const auto& [name, parameter] : named) {
      if (name.starts_with(prefix)) found.push_back(parameter);
    }
    return found;
  }

  std::vector<Tensor> encoded_;
};

/// Counts updates.
class CountingOptimizer : public poise::testing::NoUpdates {
 public:
  void zero() override { throw std::logic_error("zero"); }
  void step() override { ++steps; }
  void step(const std::vector<Tensor>& /*parameters*/) override { throw std::logic_error("step of some"); }

  int steps = 0;
};

/// Differentiates as the host does, and counts how often.
class SmallTrainer : public poise::testing::RecordingTrainer {
 public:
  explicit SmallTrainer(SmallNetwork& small) : RecordingTrainer(small), network_(small) {}

  poise::Optimizer& optimizer() override { return updates; }

  void backward(const Tensor& loss) override {
    ++passes;
    total = loss.item<double>();
    for (const auto& parameter : network_.parameters()) parameter.mutable_grad() = Tensor();
    loss.backward();
  }
  std::vector<Tensor> gradients(const Tensor& loss, const std::vector<Tensor>& parameters) override {
    ++passes;
    auto found = torch::autograd::grad({loss}, parameters, {}, true, false, true);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i].defined()) found[i] = at::zeros_like(parameters[i]);
    }
    return found;
  }

  CountingOptimizer updates;
  int passes = 0;
  double total = 0;  ///< the loss given to backward()

 private:
  SmallNetwork& network_;
};

/// One step on a case of the oracle.
struct Bench {
  Bench(const nlohmann::json& one_case, const std::string& options) : network(one_case), trainer(network) {
    Batch batch;
    for (const auto& input : one_case.at("inputs")) batch.inputs.push_back(tensor_of(input));
    batch.targets = tensor_of(one_case.at("targets")).to(at::kLong);
    const auto dgl = make<poise::Modulation>(options);
    dgl->begin(trainer);
    dgl->step(batch, trainer);
  }

  /// The largest difference of the gradients from `expected`, relative to the largest entry of each tensor.
  double off(const nlohmann::json& expected) const {
    double most = 0;
    for (const auto& [name, values] : expected.items()) {
      const Tensor right = tensor_of(values);
      // The bias before a BatchNorm has a gradient of 0 up to rounding.
      const double scale = std::max(right.abs().max().item<double>(), 1e-3);
      most = std::max(most, (network.named.at(name).grad() - right).abs().max().item<double>() / scale);
    }
    return most;
  }

  SmallNetwork network;
  SmallTrainer trainer;
};

class Oracle : public ::testing::TestWithParam<std::size_t> {
 protected:
  nlohmann::json one_case = oracle("dgl").at("cases").at(GetParam());
  std::string alpha = "alpha = " + one_case.at("alpha").dump() + "\n";
};
INSTANTIATE_TEST_SUITE_P(Dgl, Oracle, ::testing::Range(std::size_t{0}, std::size_t{5}));

TEST(Dgl, KnowsEveryCaseOfTheOracle) { EXPECT_EQ(oracle("dgl").at("cases").size(), 5U); }

TEST_P(Oracle, GradientsOfEncodersAndFusion) {
  const Bench bench(one_case, alpha + "clip = 0");
  EXPECT_LT(bench.off(one_case.at("gradients")), 1e-10);
  EXPECT_EQ(bench.network.named.size(), one_case.at("gradients").size());
  int mistakes = 0;
  for (const auto& [name, wrong] : one_case.items()) {
    if (!name.starts_with("mistake_")) continue;
    ++mistakes;
    EXPECT_GT(bench.off(wrong), 1e-3) << name;
  }
  EXPECT_GE(mistakes, 3);
}

TEST_P(Oracle, ClipsAllGradientsTogether) {
  const Bench bench(one_case, alpha + "clip = " + one_case.at("max_norm").dump());
  EXPECT_LT(bench.off(one_case.at("clipped")), 1e-10);
}

TEST_P(Oracle, ReportsTheJointLossAndRecordsTheOthers) {
  const Bench bench(one_case, alpha);
  EXPECT_NEAR(bench.trainer.total, one_case.at("loss").get<double>(), 1e-12);
  const Tensor recorded = bench.trainer.recorded.at("unimodal_loss");
  EXPECT_LT(difference(recorded, tensor_of(one_case.at("losses"))), 1e-12);
  EXPECT_FALSE(recorded.requires_grad());
}

TEST_P(Oracle, UpdatesOnceAndLeavesTheStatisticsOfTheJointPass) {
  Bench bench(one_case, "");
  EXPECT_EQ(bench.trainer.updates.steps, 1);
  EXPECT_EQ(bench.trainer.passes, make<poise::Modulation>()->requirements(2).backward_passes_per_step);
  EXPECT_EQ(bench.network.small_fusion.passes.item<double>(), 1);
}

TEST(Dgl, HasTheAuthorsDefaults) {
  const auto one_case = oracle("dgl").at("cases").at(0);
  const Bench plain(one_case, "");
  EXPECT_LT(plain.off(one_case.at("gradients")), 1e-10) << "alpha is 4, and a norm under 40 is left as it is";
  const Bench large(one_case, "alpha = 1000");
  Tensor squares = at::zeros({}, at::kDouble);
  for (const auto& parameter : large.network.parameters())
    squares = squares + parameter.grad().square().sum();
  EXPECT_NEAR(squares.sqrt().item<double>(), 40, 1e-4);
}

std::string refusal_of(poise::Network& network) {
  poise::testing::RecordingTrainer trainer(network);
  return poise::testing::refusal([&] { make<poise::Modulation>()->begin(trainer); });
}

TEST(Dgl, RefusesEncodersWithoutParameters) {
  auto one_case = oracle("dgl").at("cases").at(0);
  SmallNetwork network(one_case);
  EXPECT_EQ(refusal_of(network), "");
  auto& parameters = one_case.at("parameters");
  for (auto item = parameters.begin(); item != parameters.end();) {
    item = item.key().starts_with("encoder.") ? parameters.erase(item) : std::next(item);
  }
  SmallNetwork bare(one_case);
  EXPECT_NE(refusal_of(bare).find("none has parameters"), std::string::npos);
}

TEST(Dgl, DeclaresWhatItNeeds) {
  const auto dgl = make<poise::Modulation>();
  const auto needs = dgl->requirements(3);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, poise::max_modalities);
  EXPECT_EQ(needs.subsets_per_step, 1);
  EXPECT_FALSE(needs.additive_fusion);
  EXPECT_TRUE(needs.late_fusion);
  EXPECT_FALSE(dgl->neutral_options().has_value());
}

TEST(Dgl, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("alpha = -1", "alpha is -1");
  poise::testing::expect_refused<poise::Modulation>("clip = -1", "clip is -1");
  poise::testing::expect_refused<poise::Modulation>("beta = 1", "beta");
}

}  // namespace

POISE_CONFORMANCE("");
