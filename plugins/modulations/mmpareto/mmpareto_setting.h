// The small networks of the oracle, and the trainer with which MMPareto's tests run one step on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <nlohmann/json.hpp>

#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace mmpareto_test {

using poise::Batch;
using poise::Role;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

/// The oracle's network: encoders of two layers, a linear layer on all features.
class SmallNetwork : public poise::testing::FixedLogits {
 public:
  explicit SmallNetwork(const nlohmann::json& one_case) : FixedLogits(one_case["k"].get<int>()) {
    for (const auto& [name, values] : one_case["parameters"].items()) {
      if (!name.starts_with("head.")) named[name] = tensor_of(values).requires_grad_();
    }
  }

  std::int64_t outputs() const override { return named.at("joint.bias").size(0); }
  std::int64_t width(int /*m*/) const override { return 3; }

  Tensor encode(const Batch& batch, int m) override {
    const std::string encoder = "encoder." + std::to_string(m);
    const Tensor& x = batch.inputs.at(static_cast<std::size_t>(m));
    const Tensor hidden =
        at::tanh(at::linear(x, named.at(encoder + ".first.weight"), named.at(encoder + ".first.bias")));
    return at::linear(hidden, named.at(encoder + ".second.weight"), named.at(encoder + ".second.bias"));
  }
  Tensor logits(const Batch& batch) override {
    Tensor z = named.at("joint.bias");
    for (int m = 0; m < modalities(); ++m) {
      z = z + at::matmul(encode(batch, m), named.at("joint.weight." + std::to_string(m)).t());
    }
    return z;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }

  std::vector<Tensor> parameters() const override { return beginning(""); }
  std::vector<Tensor> parameters(Role role) const override {
    // The bias stands for the rest of a fusion.
    if (role == Role::encoder) return beginning("encoder.");
    if (role == Role::head) return beginning("joint.weight.");
    return role == Role::fusion ? beginning("joint.bias") : std::vector<Tensor>();
  }
  std::vector<Tensor> parameters(Role role, int m) const override {
    return role == Role::encoder ? beginning("encoder." + std::to_string(m) + ".") : std::vector<Tensor>();
  }

  std::map<std::string, Tensor> named;

 private:
  std::vector<Tensor> beginning(const std::string& prefix) const {
    std::vector<Tensor> found;
    for (const auto& [name, parameter] : named) {
      if (name.starts_with(prefix)) found.push_back(parameter);
    }
    return found;
  }
};

/// Counts updates.
class CountingOptimizer : public poise::testing::NoUpdates {
 public:
  void step() override { ++steps; }
  void step(const std::vector<Tensor>& /*parameters*/) override { throw std::logic_error("step of some"); }

  int steps = 0;
};

/// Differentiates, and counts how often.
class SmallTrainer : public poise::testing::RecordingTrainer {
 public:
  explicit SmallTrainer(poise::Network& network) : RecordingTrainer(network) {}

  poise::Optimizer& optimizer() override { return updates; }

  void backward(const Tensor& loss) override {
    ++passes;
    total = loss.item<double>();
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
  void add_module(const std::string& /*name*/, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& /*modalities*/) override {
    module->to(at::kDouble);
    heads.push_back(std::dynamic_pointer_cast<torch::nn::LinearImpl>(module));
  }

  CountingOptimizer updates;
  std::vector<std::shared_ptr<torch::nn::LinearImpl>> heads;
  int passes = 0;
  double total = 0;  ///< the loss given to backward()
};

/// One step on a case of the oracle.
struct Bench {
  explicit Bench(const std::string& name, const std::string& options = "")
      : one_case(oracle("mmpareto")["cases"][name]), network(one_case), trainer(network) {
    Batch batch;
    for (const auto& input : one_case["inputs"]) batch.inputs.push_back(tensor_of(input));
    batch.targets = tensor_of(one_case["targets"]).to(at::kLong);
    const auto plugin = make<poise::Modulation>(options);
    plugin->begin(trainer);
    {
      const at::NoGradGuard no_grad;
      for (std::size_t m = 0; m < trainer.heads.size(); ++m) {
        const std::string head = "head." + std::to_string(m);
        trainer.heads[m]->weight.copy_(tensor_of(one_case["parameters"][head + ".weight"]));
        trainer.heads[m]->bias.copy_(tensor_of(one_case["parameters"][head + ".bias"]));
      }
    }
    plugin->step(batch, trainer);
  }

  /// Of every parameter.
  std::map<std::string, Tensor> gradients() const {
    std::map<std::string, Tensor> all;
    for (const auto& [name, parameter] : network.named) all[name] = parameter.grad();
    for (std::size_t m = 0; m < trainer.heads.size(); ++m) {
      all["head." + std::to_string(m) + ".weight"] = trainer.heads[m]->weight.grad();
      all["head." + std::to_string(m) + ".bias"] = trainer.heads[m]->bias.grad();
    }
    return all;
  }

  nlohmann::json one_case;
  SmallNetwork network;
  SmallTrainer trainer;
};

inline bool is_close(const Tensor& actual, const Tensor& expected) {
  return at::allclose(actual, expected, 1e-9, 1e-13);
}

}  // namespace mmpareto_test
