// The splits, the encoders' parameters and the trainer on which the tests of re-learning run the plugin.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace relearning_test {

using namespace poise::testing;
using poise::Batch;
using poise::Split;
using torch::Tensor;

inline Tensor labels_of(const nlohmann::json& json) { return tensor_of(json).to(at::kLong); }

/// Its inputs are its features; beside them it has parameters.
class FixedFeatures : public RefusingNetwork {
 public:
  explicit FixedFeatures(int modalities) : encoder(static_cast<std::size_t>(modalities)) {}

  int modalities() const override { return static_cast<int>(encoder.size()); }
  std::int64_t outputs() const override { return 3; }
  Tensor encode(const Batch& batch, int m) override { return batch.inputs.at(static_cast<std::size_t>(m)); }
  using RefusingNetwork::parameters;
  std::vector<Tensor> parameters(poise::Role role, int m) const override {
    return role == poise::Role::encoder ? encoder.at(static_cast<std::size_t>(m)) : std::vector<Tensor>();
  }

  std::vector<std::vector<Tensor>> encoder;  ///< parameters
};

/// v <- momentum v + g, p <- p - rate v for one parameter.
class OneParameterSgd : public poise::testing::NoUpdates {
 public:
  void zero() override { throw std::logic_error("zero"); }
  void step() override {
    const at::NoGradGuard no_grad;
    buffer = buffer.defined() ? momentum * buffer + parameter.grad() : parameter.grad();
    parameter.sub_(rate * buffer);
  }
  void step(const std::vector<Tensor>& /*parameters*/) override { throw std::logic_error("step"); }
  void forget(const std::vector<Tensor>& parameters) override {
    for (const auto& each : parameters) {
      if (each.is_same(parameter)) buffer = Tensor();
    }
  }

  double rate = 0;
  double momentum = 0;
  Tensor parameter;
  Tensor buffer;
};

/// Shows a split in batches of four.
class SplitTrainer : public RecordingTrainer {
 public:
  explicit SplitTrainer(poise::Network& network) : RecordingTrainer(network) {}

  poise::Optimizer& optimizer() override { return sgd; }
  std::int64_t samples(Split split) const override { return data.at(split).targets.size(0); }
  void for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) override {
    if (!ids.defined()) visits[split] += 1;
    const Batch& all = data.at(split);
    const Tensor rows = ids.defined() ? ids : at::arange(samples(split), at::kLong);
    for (const Tensor& part : rows.split(4)) {
      Batch batch;
      batch.targets = all.targets.index_select(0, part);
      for (const Tensor& input : all.inputs) batch.inputs.push_back(input.index_select(0, part));
      if (!see(batch)) return;
    }
  }

  std::map<Split, Batch> data;
  std::map<Split, int> visits;  ///< of a whole split
  OneParameterSgd sgd;
};

/// The oracle's splits, and the epoch at whose end they are diagnosed.
struct Scene {
  explicit Scene(const nlohmann::json& one_case)
      : network(static_cast<int>(one_case.at("modalities").size())) {
    torch::manual_seed(3);
    for (const auto& [split, name] : {std::pair{Split::train, "train"}, {Split::validation, "validation"}}) {
      Batch& all = trainer.data[split];
      for (const auto& modality : one_case.at("modalities")) {
        all.inputs.push_back(tensor_of(modality.at(name).at("features")));
        all.targets = labels_of(modality.at(name).at("targets"));
      }
    }
    trainer.current_epoch = 20;
  }

  FixedFeatures network;
  SplitTrainer trainer{network};
};

inline nlohmann::json oracle_of(const std::string& part) { return oracle("relearning").at(part); }

/// The same partition, numbered in the order of the first points.
inline Tensor numbered(const Tensor& clusters) {
  std::map<std::int64_t, std::int64_t> numbers;
  const Tensor result = clusters.clone();
  for (std::int64_t i = 0; i < clusters.size(0); ++i) {
    const auto next = static_cast<std::int64_t>(numbers.size());
    result[i] = numbers.emplace(clusters[i].item<std::int64_t>(), next).first->second;
  }
  return result;
}

/// Re-learns with lambda so that modality m has the oracle's weight of parameters, and returns what became of them.
inline std::map<std::string, Tensor> relearnt(int m, const std::string& options = "") {
  const auto parameters = oracle_of("parameters");
  const auto one_case = oracle_of("diagnosis").at("two");
  const auto weight = [m](const nlohmann::json& of) {
    return of.at("w").at(static_cast<std::size_t>(m)).get<double>();
  };
  const double gap = std::atanh(weight(one_case)) / one_case.at("lambda").get<double>();
  const std::string lambda = nlohmann::json(std::atanh(weight(parameters)) / gap).dump();
  Scene scene(one_case);
  const auto plugin = make<poise::Modulation>("lambda = " + lambda + "\n" + options);

  std::map<std::string, Tensor> now;
  for (const auto& [name, value] : parameters.at("start").items()) {
    now[name] = tensor_of(value).requires_grad_();
    if (name.starts_with("encoder") && name.find("running") == std::string::npos) {
      scene.network.encoder.at(name[8] == '0' ? 0 : 1).push_back(now[name]);
    }
  }
  plugin->begin(scene.trainer);
  auto& sgd = scene.trainer.sgd;
  const auto momentum = oracle_of("momentum");
  sgd.parameter = now.at("encoder.0.weight");
  sgd.buffer = tensor_of(momentum.at("buffer"));
  sgd.rate = momentum.at("rate");
  sgd.momentum = momentum.at("momentum");
  {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : now) tensor.copy_(tensor_of(parameters.at("before").at(name)));
  }
  plugin->end_epoch(scene.trainer);
  std::map<std::string, Tensor> after;
  for (const auto& [name, tensor] : now) after[name] = tensor.detach().clone();
  sgd.parameter.mutable_grad() = tensor_of(momentum.at("gradient"));
  sgd.step();
  after["stepped"] = sgd.parameter.detach();
  return after;
}

}  // namespace relearning_test
