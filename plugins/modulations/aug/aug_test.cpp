// AUG's training, growth and prediction against values that tests/oracles/aug.py derived from the formulas before this
// plugin was written.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
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

json training() { return oracle("aug").at("training"); }

/// Encoder m is tanh(x U_m^T + u_m), with the oracle's start.
class Encoders : public FixedLogits {
 public:
  explicit Encoders(const json& start) : FixedLogits(2), outputs_(tensor_of(start.at("b")).size(0)) {
    for (std::size_t m = 0; m < 2; ++m) {
      encoder.push_back(
          {tensor_of(start.at("U").at(m)).requires_grad_(), tensor_of(start.at("u").at(m)).requires_grad_()});
    }
  }

  [[nodiscard]] std::int64_t outputs() const override { return outputs_; }
  [[nodiscard]] std::int64_t width(int m) const override {
    return encoder.at(static_cast<std::size_t>(m))[0].size(0);
  }
  Tensor encode(const poise::Batch& batch, int modality) override {
    const auto m = static_cast<std::size_t>(modality);
    return at::tanh(at::matmul(batch.inputs.at(m), encoder.at(m)[0].t()) + encoder[m][1]);
  }
  [[nodiscard]] std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const auto& [of, parameter] : own) all.push_back(parameter);
    for (const auto& of : encoder) all.insert(all.end(), of.begin(), of.end());
    return all;
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role /*role*/) const override { return {}; }
  [[nodiscard]] std::vector<Tensor> parameters(Role role, int m) const override {
    if (role == Role::encoder) return encoder.at(static_cast<std::size_t>(m));
    std::vector<Tensor> result;
    for (const auto& [of, parameter] : own) {
      if (role == Role::own && of == m) result.push_back(parameter);
    }
    return result;
  }

  std::vector<std::vector<Tensor>> encoder;  ///< U, u
  std::vector<std::pair<int, Tensor>>
      own;  ///< modality (-1: of both) and parameter, in the order of addition

 private:
  std::int64_t outputs_;
};

/// What a turn of one modality does.
struct Turn {
  double loss = 0;
  Tensor weight_gradient;       ///< of the head
  Tensor bias_gradient;         ///< of the head
  std::vector<Tensor> updated;  ///< after the update
};

/// Plain gradient descent in float64. Modules start as the oracle's, where it has them.
class Descent : public RecordingTrainer {
 public:
  Descent(Encoders& network, const json& data)
      : RecordingTrainer(network),
        network_(network),
        data_(data),
        updates_(*this, data.at("rate").get<double>()) {}

  poise::Optimizer& optimizer() override { return updates_; }
  [[nodiscard]] std::int64_t epochs() const override { return total; }
  [[nodiscard]] std::int64_t batch() const override { return 0; }
  [[nodiscard]] std::int64_t batches() const override { return 1; }
  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) override {
    module->to(at::kDouble);
    names.push_back(name);
    const auto parameters = module->parameters();
    for (const auto& parameter : parameters) {
      network_.own.emplace_back(modalities.empty() ? -1 : modalities.at(0), parameter);
    }
    const auto& start = data_.at("start");
    if (name == "growth") growth = module->buffers().at(0);
    if (name == "head") head = parameters;
    if (!follows) return;
    if (name == "head") set(parameters, start.at("W"), start.at("b"));
    if (name == "embedding_0") set(parameters, start.at("E").at(0), start.at("e").at(0));
    if (name == "embedding_1") set(parameters, start.at("E").at(1), start.at("e").at(1));
    if (!name.starts_with("layer_")) return;
    const auto& expected = data_.at("layers").at(added_++);
    EXPECT_EQ(modalities, std::vector<int>{expected.at("modality").get<int>()});
    EXPECT_EQ(epoch(), expected.at("epoch").get<std::int64_t>() + 1);
    set(parameters, expected.at("weight"), expected.at("bias"));
  }
  void backward(const Tensor& loss) override {
    for (auto& parameter : network_.parameters()) parameter.mutable_grad() = Tensor();
    loss.backward();
    turns.emplace_back();
    turns.back().loss = loss.item<double>();
    turns.back().weight_gradient = head.at(0).grad().clone();
    turns.back().bias_gradient = head.at(1).grad().clone();
  }

  std::vector<std::string> names;  ///< of the modules, in the order of their addition
  std::vector<Tensor> head;
  Tensor growth;
  std::vector<Turn> turns;
  std::int64_t total = 4;
  bool follows = true;  ///< modules get the oracle's values

 private:
  class Updates : public poise::testing::NoUpdates {
   public:
    Updates(Descent& trainer, double rate) : trainer_(trainer), rate_(rate) {}
    void zero() override { ADD_FAILURE() << "zero() is not needed"; }
    void step() override { ADD_FAILURE() << "step() updates the other modality"; }
    void step(const std::vector<Tensor>& parameters) override {
      const at::NoGradGuard no_grad;
      for (const Tensor& parameter : parameters) {
        parameter.sub_(parameter.grad() * rate_);
        trainer_.turns.back().updated.push_back(parameter.clone());
      }
    }

   private:
    Descent& trainer_;
    double rate_;
  };

  static void set(const std::vector<Tensor>& parameters, const json& weight, const json& bias) {
    const at::NoGradGuard no_grad;
    parameters.at(0).copy_(tensor_of(weight));
    parameters.at(1).copy_(tensor_of(bias));
  }

  Encoders& network_;
  json data_;
  Updates updates_;
  std::size_t added_ = 0;  ///< layers
};

/// Takes all of a plugin's state, or gives it what is here of it.
class Exchange : public poise::State {
 public:
  void scalar(const std::string& /*name*/, double& /*value*/) override {}
  void scalar(const std::string& name, std::int64_t& value) override {
    if (is_giving && integers.contains(name)) value = integers.at(name);
    if (!is_giving) integers[name] = value;
  }
  void tensor(const std::string& name, Tensor& value) override {
    if (is_giving && tensors.contains(name)) value = tensors.at(name).clone();
    if (!is_giving) tensors[name] = value.clone();
  }

  bool is_giving = false;
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, Tensor> tensors;
};

/// The plugin, its network and its trainer.
struct Setting {
  explicit Setting(bool follows = true, const std::string& options = "")
      : data(training()),
        network(data.at("start")),
        trainer(network, data),
        plugin(make<poise::Modulation>("hidden = " + data.at("hidden").dump() + "\n" + options)) {
    trainer.follows = follows;
  }

  [[nodiscard]] Exchange state() const {
    Exchange exchange;
    plugin->visit(exchange);
    return exchange;
  }

  void begin_epoch(std::int64_t epoch) {
    trainer.current_epoch = epoch;
    plugin->begin_epoch(trainer);
  }

  /// Begins an epoch after one with these scores.
  void begin_epoch_after(std::int64_t epoch, double first, double second) {
    Exchange exchange;
    exchange.is_giving = true;
    exchange.tensors["scores"] = at::tensor({first, second}, at::kDouble);
    plugin->visit(exchange);
    begin_epoch(epoch);
  }

  json data;
  Encoders network;
  Descent trainer;
  std::shared_ptr<poise::Modulation> plugin;
};

poise::Batch batch_of(const Tensor& inputs, const Tensor& targets) {
  poise::Batch batch;
  batch.inputs = {inputs[0], inputs[1]};
  batch.lengths.resize(2);
  batch.targets = targets;
  return batch;
}

void expect_near(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LT(difference(actual, expected), 1e-9) << what;
}

void expect_turn(const Turn& turn, const json& expected) {
  EXPECT_NEAR(turn.loss, expected.at("loss").get<double>(), 1e-11);
  expect_near(turn.weight_gradient, tensor_of(expected.at("dW")), "dW");
  expect_near(turn.bias_gradient, tensor_of(expected.at("db")), "db");
  std::vector<std::pair<std::string, Tensor>> parameters;
  for (const std::string name : {"U", "u", "E", "e"})
    parameters.emplace_back(name, tensor_of(expected.at(name)));
  for (const auto& layer : expected.at("layers")) {
    parameters.emplace_back("an added layer's weight", tensor_of(layer.at("weight")));
    parameters.emplace_back("an added layer's bias", tensor_of(layer.at("bias")));
  }
  for (const std::string name : {"W", "b"}) parameters.emplace_back(name, tensor_of(expected.at(name)));
  ASSERT_EQ(turn.updated.size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    expect_near(turn.updated[i], parameters[i].second, parameters[i].first);
  }
  for (const std::string mistake : {"plus", "without", "first"}) {
    const std::string field = "mistake_loss_" + mistake;
    if (!expected.contains(field)) continue;
    EXPECT_GT(std::abs(turn.loss / expected.at(field).get<double>() - 1), 1e-3) << mistake;
  }
  if (expected.at("modality").get<int>() == 1) {
    EXPECT_GT(std::abs(turn.loss - expected.at("mistake_loss_head").get<double>()), 1e-4);
  }
  if (expected.contains("mistake_dW_flows")) {
    EXPECT_GT(difference(turn.weight_gradient, tensor_of(expected.at("mistake_dW_flows"))), 1e-3);
  }
}

/// Four epochs on the oracle's data.
void train(Setting& setting) {
  const auto& data = setting.data;
  const Tensor inputs = tensor_of(data.at("inputs"));
  const Tensor targets = tensor_of(data.at("targets")).to(at::kLong);
  setting.plugin->begin(setting.trainer);
  for (std::int64_t epoch = 0; epoch < inputs.size(0); ++epoch) {
    SCOPED_TRACE("epoch " + std::to_string(epoch));
    setting.begin_epoch(epoch);
    for (std::int64_t i = 0; i < inputs.size(1); ++i) {
      setting.plugin->step(batch_of(inputs[epoch][i], targets[epoch][i]), setting.trainer);
    }
    setting.plugin->end_epoch(setting.trainer);
    const auto& expected = data.at("epochs").at(static_cast<std::size_t>(epoch));
    expect_near(setting.state().tensors.at("scores"), tensor_of(expected.at("scores")), "scores");
    EXPECT_NEAR(setting.trainer.recorded.at("ratio").item<double>(), expected.at("ratio").get<double>(),
                1e-9);
  }
}

TEST(Aug, TrainsInTurnsAndGrows) {
  Setting setting;
  train(setting);
  const auto& steps = setting.data.at("steps");
  ASSERT_EQ(setting.trainer.turns.size(), steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    SCOPED_TRACE("turn " + std::to_string(i));
    expect_turn(setting.trainer.turns[i], steps[i]);
  }
  EXPECT_GT(difference(setting.trainer.head[0].detach(), tensor_of(setting.data.at("mistake_untrained"))),
            1e-3);
  EXPECT_EQ(setting.trainer.names, (std::vector<std::string>{"growth", "embedding_0", "embedding_1", "head",
                                                             "layer_1_1", "layer_0_1", "layer_1_2"}));
  EXPECT_TRUE(at::equal(setting.trainer.recorded.at("layers"), at::tensor({1.0, 2.0}, at::kDouble)));
}

TEST(Aug, PredictsTheWeightedSum) {
  Setting setting;
  train(setting);
  const auto expected = oracle("aug").at("prediction");
  const Tensor inputs = tensor_of(expected.at("inputs"));
  const auto batch = batch_of(inputs, at::zeros({inputs.size(1)}, at::kLong));
  std::vector<poise::Subset> subsets;
  for (const auto& one : expected.at("subsets")) subsets.push_back({one.at("subset").get<std::uint32_t>()});
  const at::NoGradGuard no_grad;
  const Tensor z = setting.plugin->predict(batch, subsets, setting.trainer);
  for (std::size_t s = 0; s < subsets.size(); ++s) {
    expect_near(z[static_cast<std::int64_t>(s)], tensor_of(expected.at("subsets").at(s).at("z")),
                "subset " + std::to_string(subsets[s].bits));
  }
  for (const std::string mistake : {"mean", "swapped", "without_layers"}) {
    EXPECT_GT(difference(z[-1], tensor_of(expected.at("mistake_" + mistake))), 1e-3) << mistake;
  }
  // Weights from before the layers were added predict without them.
  setting.trainer.growth.zero_();
  const Tensor before = setting.plugin->predict(batch, {poise::Subset::all(2)}, setting.trainer)[0];
  expect_near(before, tensor_of(expected.at("mistake_without_layers")), "without layers");
}

/// A resumed run has the same layers, added in the same order, whatever their modalities.
TEST(Aug, AddsItsLayersAgainAfterAResume) {
  Setting whole;
  train(whole);
  auto saved = whole.state();
  saved.is_giving = true;
  Setting resumed(false);
  const auto tensors = std::exchange(saved.tensors, {});
  resumed.plugin->visit(saved);
  resumed.plugin->begin(resumed.trainer);
  saved.tensors = tensors;
  resumed.plugin->visit(saved);
  EXPECT_EQ(resumed.trainer.names, whole.trainer.names);
  EXPECT_TRUE(at::equal(resumed.trainer.growth, whole.trainer.growth));
  // It goes on growing where it stood.
  for (Setting* setting : {&whole, &resumed}) {
    setting->trainer.follows = false;
    setting->trainer.total = 8;
    setting->begin_epoch(4);
  }
  EXPECT_EQ(whole.trainer.names.back(), "layer_0_2");
  EXPECT_EQ(resumed.trainer.names, whole.trainer.names);
  EXPECT_EQ(resumed.state().integers, whole.state().integers);
}

TEST(Aug, GivesTheWeakerModalityALayer) {
  const auto cases = oracle("aug").at("assignment");
  for (const auto& expected : cases) {
    const auto ratio = expected.at("ratio").get<double>();
    SCOPED_TRACE(ratio);
    Setting setting(false, "tolerance = " + expected.at("tolerance").dump());
    setting.plugin->begin(setting.trainer);
    setting.begin_epoch(0);
    setting.begin_epoch_after(1, 3 * ratio, 3);
    const int modality = expected.at("modality").get<int>();
    EXPECT_EQ(setting.trainer.names.back(),
              modality < 0 ? "head" : "layer_" + std::to_string(modality) + "_1");
  }
}

TEST(Aug, LooksAtTheScoresTenTimes) {
  const auto cases = oracle("aug").at("schedule");
  for (const auto& expected : cases) {
    const auto epochs = expected.at("epochs").get<std::int64_t>();
    SCOPED_TRACE(epochs);
    const auto checked = expected.at("checked").get<std::vector<std::int64_t>>();
    Setting setting(false);
    setting.trainer.total = epochs;
    setting.plugin->begin(setting.trainer);
    setting.begin_epoch(0);
    for (std::int64_t epoch = 1; epoch < epochs; ++epoch) {
      const auto before = setting.trainer.names.size();
      setting.begin_epoch_after(epoch, 2, 1);
      const bool grew = setting.trainer.names.size() > before;
      EXPECT_EQ(grew, std::find(checked.begin(), checked.end(), epoch - 1) != checked.end())
          << "epoch " << epoch;
    }
  }
}

TEST(Aug, StartsItsLayersByXavier) {
  torch::manual_seed(3);
  Setting setting(false, "");
  setting.plugin = make<poise::Modulation>("hidden = 2000");
  setting.plugin->begin(setting.trainer);
  setting.begin_epoch(0);
  setting.begin_epoch_after(1, 2, 1);
  ASSERT_EQ(setting.trainer.names.back(), "layer_1_1");
  const Tensor& weight = setting.network.own.at(setting.network.own.size() - 2).second;
  const double expected = std::sqrt(2.0 / static_cast<double>(weight.size(0) + weight.size(1)));
  const double five_errors = 5 / std::sqrt(2 * static_cast<double>(weight.numel()));
  EXPECT_NEAR(weight.std().item<double>() / expected, 1, five_errors);
  EXPECT_EQ(setting.network.own.back().second.abs().max().item<double>(), 0);
}

TEST(Aug, DeclaresWhatItDoes) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_TRUE(needs.replaces_fusion);
  EXPECT_FALSE(needs.symmetric);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, 2);
  EXPECT_EQ(needs.backward_passes_per_step, 2);
}

TEST(Aug, RefusesWhatItCannotUse) {
  poise::testing::expect_refused<poise::Modulation>("weights = [1.0]", "two numbers greater than 0");
  poise::testing::expect_refused<poise::Modulation>("weights = [0.0, 1.0]", "two numbers greater than 0");
  poise::testing::expect_refused<poise::Modulation>("hidden = 0", "hidden");

  Setting setting;
  setting.plugin->begin(setting.trainer);
  const auto labels = batch_of(at::zeros({2, 5, 3}, at::kDouble), at::zeros({5, 3}, at::kDouble));
  try {
    setting.plugin->step(labels, setting.trainer);
    ADD_FAILURE() << "it trained on labels";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_NE(std::string(error.what()).find("no classes"), std::string::npos);
  }
}

}  // namespace

POISE_CONFORMANCE("hidden = 8");
