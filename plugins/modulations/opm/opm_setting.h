// The network, the trainer and the oracle's cases on which OPM's tests run the plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "poise/modulation.h"
#include "poise/reference_trainer.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace opm_test {

using namespace poise::testing;
using poise::Batch;
using torch::Tensor;

inline std::vector<Tensor> list_of(const nlohmann::json& json) {
  std::vector<Tensor> list;
  for (const auto& each : json) list.push_back(tensor_of(each));
  return list;
}

/// z = sum_m f_m W_m^T + b of features that are leaves.
class LinearFusion : public poise::testing::RefusingNetwork {
 public:
  int modalities() const override { return static_cast<int>(leaves.size()); }
  std::int64_t width(int m) const override { return leaves.at(static_cast<std::size_t>(m)).size(1); }
  bool additive() const override { return true; }
  std::int64_t outputs() const override { return bias.size(0); }
  const std::vector<Tensor>& features(const Batch& /*batch*/) override { return leaves; }
  Tensor share(const Batch& /*batch*/, int modality) override {
    const auto m = static_cast<std::size_t>(modality);
    if (!shares.empty()) return shares.at(m);
    return at::matmul(leaves.at(m), weights.at(m).t()) + bias / static_cast<double>(leaves.size());
  }
  poise::FusionOutput fuse(const Batch& /*batch*/, const std::vector<Tensor>& features,
                           const Tensor& keep) override {
    kept = keep;
    poise::FusionOutput output;
    output.logits = bias;
    for (std::size_t m = 0; m < features.size(); ++m) {
      const Tensor factor = keep.narrow(1, static_cast<std::int64_t>(m), 1);
      output.logits = output.logits + at::matmul(features[m] * factor, weights[m].t());
    }
    logits_of_fuse = output.logits;
    return output;
  }
  using RefusingNetwork::logits;
  Tensor logits(const Batch& /*batch*/) override {
    Tensor z = bias;
    for (std::size_t m = 0; m < leaves.size(); ++m) z = z + at::matmul(leaves[m], weights[m].t());
    return z;
  }
  using RefusingNetwork::parameters;
  std::vector<Tensor> parameters() const override { return weights; }

  std::vector<Tensor> leaves;   ///< features
  std::vector<Tensor> weights;  ///< W_m
  Tensor bias;
  std::vector<Tensor> shares;  ///< in place of those of the features
  Tensor kept;                 ///< what fuse() was given last; undefined: it was not called
  Tensor logits_of_fuse;
};

/// Honours a batch's weights.
class WeighingTrainer : public RecordingTrainer {
 public:
  explicit WeighingTrainer(poise::Network& network) : RecordingTrainer(network) {}

  const poise::Objective& objective() override { return objective_; }

 private:
  poise::reference::Objective objective_{poise::TaskKind::classification};
};

/// A case of `probabilities`, which has shares, or of `masked`, which has features and weights.
struct Scene {
  explicit Scene(const nlohmann::json& one_case) {
    torch::manual_seed(2);
    batch.targets = tensor_of(one_case.at("targets")).to(at::kLong);
    if (one_case.contains("shares")) {
      network.shares = list_of(one_case.at("shares"));
      const auto k = network.shares.size();
      network.leaves.assign(k, at::zeros({batch.size(), 1}, at::kDouble));
      network.weights.assign(k, at::zeros({4, 1}, at::kDouble));
      network.bias = at::zeros({4}, at::kDouble);
    } else {
      network.leaves = list_of(one_case.at("features"));
      network.weights = list_of(one_case.at("weights"));
      network.bias = tensor_of(one_case.at("bias")).requires_grad_();
      for (auto& leaf : network.leaves) leaf.requires_grad_();
      for (auto& weight : network.weights) weight.requires_grad_();
    }
  }

  /// Runs the loss of a plugin that modulates every batch.
  Tensor loss(const std::string& options = "") {
    if (!plugin) {
      plugin = make<poise::Modulation>("warmup = 0\np_exe = 1.0\n" + options);
      plugin->begin(trainer);
    }
    return plugin->loss(batch, trainer);
  }

  Batch batch;
  LinearFusion network;
  WeighingTrainer trainer{network};
  std::shared_ptr<poise::Modulation> plugin;
};

inline nlohmann::json oracle_of(const std::string& part) { return oracle("opm").at(part); }

/// The features' gradients side by side.
inline Tensor gradients_of(const LinearFusion& network) {
  std::vector<Tensor> gradients;
  for (const auto& leaf : network.leaves) gradients.push_back(leaf.grad());
  return at::cat(gradients, 1);
}

}  // namespace opm_test
