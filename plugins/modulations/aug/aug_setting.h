// The network, the trainer and the oracle's data on which AUG's tests run the plugin.
#pragma once

#include <cstddef>
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

#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace aug_test {

using nlohmann::json;
using poise::Role;
using poise::testing::FixedLogits;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::RecordingTrainer;
using poise::testing::tensor_of;
using torch::Tensor;

inline json training() { return oracle("aug").at("training"); }

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

inline poise::Batch batch_of(const Tensor& inputs, const Tensor& targets) {
  poise::Batch batch;
  batch.inputs = {inputs[0], inputs[1]};
  batch.lengths.resize(2);
  batch.targets = targets;
  return batch;
}

}  // namespace aug_test
