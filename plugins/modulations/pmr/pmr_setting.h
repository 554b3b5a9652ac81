// The network, the data and the oracle's cases on which PMR's tests run the plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace pmr_test {

using poise::Batch;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::tensor_of;
using torch::Tensor;

inline std::vector<Tensor> tensors_of(const nlohmann::json& list) {
  std::vector<Tensor> tensors;
  for (const auto& element : list) tensors.push_back(tensor_of(element));
  return tensors;
}

/// Inputs are features; the logits are z = sum_m f_m W_m^T + b.
class Linear : public poise::testing::FixedLogits {
 public:
  Linear(std::vector<Tensor> weights, Tensor bias)
      : FixedLogits(static_cast<int>(weights.size())), w(std::move(weights)), b(std::move(bias)) {}

  std::int64_t outputs() const override { return b.size(0); }
  std::int64_t width(int m) const override { return w.at(static_cast<std::size_t>(m)).size(1); }
  Tensor encode(const Batch& batch, int m) override { return batch.inputs.at(static_cast<std::size_t>(m)); }
  Tensor logits(const Batch& batch) override {
    Tensor z = b;
    for (std::size_t m = 0; m < w.size(); ++m) z = z + at::matmul(batch.inputs[m], w[m].t());
    return z;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }

  std::vector<Tensor> w;
  Tensor b;
};

/// Its train split is shown in the batches that the test gives, whichever samples are asked for.
class DataTrainer : public poise::testing::RecordingTrainer {
 public:
  explicit DataTrainer(poise::Network& network) : RecordingTrainer(network) {}

  std::int64_t batches() const override { return epoch_batches; }
  std::int64_t samples(poise::Split split) const override {
    EXPECT_EQ(split, poise::Split::train);
    return train_samples;
  }
  void for_each_batch(poise::Split split, const Tensor& ids,
                      const std::function<bool(const Batch&)>& see) override {
    EXPECT_EQ(split, poise::Split::train);
    asked.push_back(ids);
    const at::NoGradGuard no_grad;
    for (const auto& batch : shown) {
      if (!see(batch)) return;
    }
  }

  std::int64_t epoch_batches = 1;
  std::int64_t train_samples = 1;
  std::vector<Batch> shown;
  std::vector<Tensor> asked;
};

/// The prototypes that the plugin keeps, read from its state.
class Prototypes : public poise::State {
 public:
  explicit Prototypes(poise::Modulation& plugin) { plugin.visit(*this); }

  void scalar(const std::string& /*name*/, double& /*value*/) override {}
  void scalar(const std::string& /*name*/, std::int64_t& /*value*/) override {}
  void tensor(const std::string& /*name*/, Tensor& value) override { kept.push_back(value.clone()); }

  std::vector<Tensor> kept;
};

/// The batches of a pass of the oracle.
inline std::vector<Batch> batches_of(const nlohmann::json& pass) {
  const Tensor labels = tensor_of(pass["labels"]).to(at::kLong);
  std::vector<Batch> batches;
  std::int64_t first = 0;
  for (const std::int64_t size : pass["batches"]) {
    Batch batch;
    batch.targets = labels.slice(0, first, first + size);
    for (const auto& features : tensors_of(pass["features"])) {
      batch.inputs.push_back(features.slice(0, first, first + size));
    }
    batches.push_back(batch);
    first += size;
  }
  return batches;
}

/// A network for features of the oracle's prototypes; its logits do not matter.
inline Linear network_of_passes() {
  return {{at::zeros({4, 3}, at::kDouble), at::zeros({4, 2}, at::kDouble)}, at::zeros({4}, at::kDouble)};
}

/// One batch of the oracle's `steps`, seen by a plugin that has its prototypes.
struct Bench {
  explicit Bench(const std::string& name, const std::string& more_options = "")
      : one_case(oracle("pmr")["steps"][name]),
        network(tensors_of(one_case["W"]), tensor_of(one_case["b"])),
        trainer(network),
        plugin(make<poise::Modulation>("alpha = " + one_case["alpha"].dump() + more_options)) {
    for (auto& weight : network.w) weight.requires_grad_();
    for (const auto& features : one_case["features"]) {
      batch.inputs.push_back(tensor_of(features).requires_grad_());
    }
    batch.targets = tensor_of(one_case["targets"]).to(at::kLong);
    // One sample of each class, with the features of its prototype.
    Batch prototypes;
    prototypes.inputs = tensors_of(one_case["prototypes"]);
    prototypes.targets = at::arange(network.outputs(), at::kLong);
    trainer.shown = {prototypes};
    plugin->begin(trainer);
  }

  Tensor loss() {
    plugin->begin_epoch(trainer);
    return plugin->loss(batch, trainer);
  }
  double joint() { return trainer.objective().loss(network.logits(batch), batch).item<double>(); }

  nlohmann::json one_case;
  Linear network;
  DataTrainer trainer;
  std::shared_ptr<poise::Modulation> plugin;
  Batch batch;
};

}  // namespace pmr_test
