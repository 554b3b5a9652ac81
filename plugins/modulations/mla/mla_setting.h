// The encoders and the trainer on which MLA's tests run the plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include "poise/modulation.h"
#include "poise/testing_trainer.h"

namespace mla_test {

using poise::Role;
using poise::testing::FixedLogits;
using poise::testing::RecordingTrainer;
using torch::Tensor;

/// Encoder m is tanh(x U_m^T + u_m); or, where there is no U_m, gives its input.
class Encoders : public FixedLogits {
 public:
  Encoders(int k, std::int64_t width, std::int64_t outputs)
      : FixedLogits(k), parameters_(static_cast<std::size_t>(k)), width_(width), outputs_(outputs) {}

  void set(std::size_t m, const Tensor& weight, const Tensor& bias) {
    parameters_[m] = {weight.clone().requires_grad_(), bias.clone().requires_grad_()};
  }

  [[nodiscard]] std::int64_t outputs() const override { return outputs_; }
  [[nodiscard]] std::int64_t width(int m) const override {
    return m == 1 && other_width > 0 ? other_width : width_;
  }
  Tensor encode(const poise::Batch& batch, int modality) override {
    const auto m = static_cast<std::size_t>(modality);
    const Tensor& x = batch.inputs.at(m);
    return parameters_[m].empty() ? x : at::tanh(at::matmul(x, parameters_[m][0].t()) + parameters_[m][1]);
  }
  [[nodiscard]] std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const auto& of : parameters_) all.insert(all.end(), of.begin(), of.end());
    return all;
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role) const override {
    return role == Role::encoder ? parameters() : std::vector<Tensor>();
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role, int m) const override {
    return role == Role::encoder ? parameters_.at(static_cast<std::size_t>(m)) : std::vector<Tensor>();
  }

  std::int64_t other_width = 0;

 private:
  std::vector<std::vector<Tensor>> parameters_;
  std::int64_t width_;
  std::int64_t outputs_;
};

/// What a turn of one modality does.
struct Turn {
  double loss = 0;
  Tensor weight_gradient;       ///< as backward() gives it
  Tensor projected;             ///< as the update uses it
  Tensor bias_gradient;         ///< as the update uses it
  std::vector<Tensor> updated;  ///< U, u, W, b after the update
};

/// Plain gradient descent in float64.
class Descent : public RecordingTrainer {
 public:
  explicit Descent(Encoders& network, double rate = 0)
      : RecordingTrainer(network), network_(network), updates_(*this, rate) {}

  poise::Optimizer& optimizer() override { return updates_; }
  [[nodiscard]] std::int64_t step() const override { return steps; }
  [[nodiscard]] std::int64_t batch() const override { return current_batch; }
  [[nodiscard]] std::int64_t batches() const override { return count; }
  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) override {
    EXPECT_EQ(name, "head");
    EXPECT_TRUE(modalities.empty());
    module->to(at::kDouble);
    head = std::dynamic_pointer_cast<torch::nn::LinearImpl>(module);
  }
  void backward(const Tensor& loss) override {
    for (auto& parameter : network_.parameters()) parameter.mutable_grad() = Tensor();
    for (auto& parameter : head->parameters()) parameter.mutable_grad() = Tensor();
    loss.backward();
    turns.emplace_back();
    turns.back().loss = loss.item<double>();
    turns.back().weight_gradient = head->weight.grad().clone();
  }
  void start_head(const Tensor& weight, const Tensor& bias) {
    const at::NoGradGuard no_grad;
    head->weight.copy_(weight);
    head->bias.copy_(bias);
  }

  std::shared_ptr<torch::nn::LinearImpl> head;
  std::vector<Turn> turns;
  std::function<void()> after_update = [] {};
  std::int64_t steps = 0;
  std::int64_t current_batch = 0;
  std::int64_t count = 1;

 private:
  class Updates : public poise::testing::NoUpdates {
   public:
    Updates(Descent& trainer, double rate) : trainer_(trainer), rate_(rate) {}
    void zero() override { ADD_FAILURE() << "zero() is not needed"; }
    void step() override { ADD_FAILURE() << "step() updates the other modalities"; }
    void step(const std::vector<Tensor>& parameters) override {
      const at::NoGradGuard no_grad;
      Turn& turn = trainer_.turns.back();
      turn.projected = trainer_.head->weight.grad().clone();
      turn.bias_gradient = trainer_.head->bias.grad().clone();
      for (const Tensor& parameter : parameters) {
        parameter.sub_(parameter.grad() * rate_);
        turn.updated.push_back(parameter.clone());
      }
      trainer_.after_update();
    }

   private:
    Descent& trainer_;
    double rate_;
  };

  Encoders& network_;
  Updates updates_;
};

/// Looks at the tensors of a plugin's state.
class Look : public poise::State {
 public:
  void scalar(const std::string& /*name*/, double& /*value*/) override {}
  void scalar(const std::string& /*name*/, std::int64_t& /*value*/) override {}
  void tensor(const std::string& name, Tensor& value) override { tensors[name] = value.clone(); }

  std::map<std::string, Tensor> tensors;
};

inline poise::Batch batch_of(const Tensor& inputs, const Tensor& targets) {
  poise::Batch batch;
  for (std::int64_t m = 0; m < inputs.size(0); ++m) {
    batch.inputs.push_back(inputs[m]);
    batch.lengths.emplace_back();
  }
  batch.targets = targets;
  return batch;
}

}  // namespace mla_test
