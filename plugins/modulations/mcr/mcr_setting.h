// The network and the trainer on which MCR's tests run the cases of the oracle.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
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

namespace mcr_test {

using poise::Batch;
using poise::testing::difference;
using poise::testing::make;
using poise::testing::oracle;
using poise::testing::RecordingTrainer;
using poise::testing::tensor_of;
using torch::Tensor;

inline std::vector<Tensor> leaves_of(const nlohmann::json& list) {
  std::vector<Tensor> leaves;
  for (const auto& element : list) leaves.push_back(tensor_of(element).requires_grad_());
  return leaves;
}

/// z = sum_m f_m W_m^T + b, of tokens the first. Counts its passes in a buffer, as BatchNorm does, and keeps what it
/// saw.
class LinearFusion : public poise::Fusion {
 public:
  LinearFusion(std::vector<Tensor> weights, Tensor bias) : w(std::move(weights)), b(std::move(bias)) {}

  void build(const poise::FusionSpec& /*spec*/) override {}
  poise::FusionOutput forward(const std::vector<Tensor>& features,
                              const std::vector<Tensor>& lengths) override {
    {
      const at::NoGradGuard no_grad;
      passes.add_(1);
    }
    seen_features.push_back(features);
    seen_lengths.push_back(lengths);
    Tensor z = b;
    for (std::size_t m = 0; m < w.size(); ++m) {
      z = z + at::matmul(features[m].dim() == 3 ? features[m].select(1, 0) : features[m], w[m].t());
    }
    return {.logits = z, .feature = {}};
  }

  std::vector<Tensor> w;
  Tensor b;
  Tensor passes = register_buffer("passes", at::zeros({1}, at::kDouble));
  std::vector<std::vector<Tensor>> seen_features;  ///< pass by pass
  std::vector<std::vector<Tensor>> seen_lengths;
};

/// Features that are leaves, before a linear fusion.
class Linear : public poise::testing::FixedLogits {
 public:
  Linear(std::vector<Tensor> features, std::vector<Tensor> weights, Tensor bias)
      : FixedLogits(static_cast<int>(features.size())),
        f(std::move(features)),
        linear(std::move(weights), std::move(bias)) {}
  explicit Linear(const nlohmann::json& one_case)
      : Linear(leaves_of(one_case.at("features")), leaves_of(one_case.at("weights")),
               tensor_of(one_case.at("bias")).requires_grad_()) {}

  std::int64_t outputs() const override { return linear.b.size(0); }
  std::int64_t width(int m) const override { return f.at(static_cast<std::size_t>(m)).size(-1); }
  Tensor encode(const Batch& /*batch*/, int m) override {
    const Tensor& feature = f.at(static_cast<std::size_t>(m));
    return feature.dim() == 3 ? feature.mean(1) : feature;
  }
  const std::vector<Tensor>& features(const Batch& /*batch*/) override { return f; }
  Tensor logits(const Batch& batch) override {
    if (!z_.defined()) z_ = fuse(batch, f, {}).logits;
    return z_;
  }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }
  poise::FusionOutput fuse(const Batch& batch, const std::vector<Tensor>& features,
                           const Tensor& /*keep*/) override {
    return linear.forward(features, batch.lengths);
  }
  poise::Fusion& fusion() override { return linear; }

  std::vector<Tensor> f;
  LinearFusion linear;

 private:
  Tensor z_;
};

/// A seed with which `expected` is the first permutation that is drawn.
inline std::uint64_t seed_of(const Tensor& expected) {
  for (std::uint64_t seed = 0; seed < 10000; ++seed) {
    torch::manual_seed(seed);
    if (at::equal(at::randperm(expected.size(0), at::kLong), expected)) return seed;
  }
  throw std::logic_error("no seed draws this permutation");
}

inline std::string options_of(const nlohmann::json& c) {
  return "variant = \"" + c.at("variant").get<std::string>() + "\"\nl = " + c.at("l").dump() +
         "\nlambda_c = " + c.at("lambda_c").dump();
}

/// The loss of a case of the oracle, differentiated.
struct Bench {
  explicit Bench(const nlohmann::json& c) : Bench(c, options_of(c)) {}
  Bench(const nlohmann::json& c, const std::string& options) : network(c), trainer(network) {
    Batch batch;
    batch.targets = tensor_of(c.at("targets")).to(at::kLong);
    const auto mcr = make<poise::Modulation>(options);
    mcr->begin(trainer);
    torch::manual_seed(seed_of(tensor_of(c.at("permutation")).to(at::kLong)));
    loss = mcr->loss(batch, trainer);
    loss.backward();
    passes = network.linear.passes.item<double>();
    mcr->modulate(batch, trainer);
  }

  /// The largest difference of the features' gradients from `expected`.
  double off(const nlohmann::json& expected) const {
    double most = 0;
    for (std::size_t m = 0; m < network.f.size(); ++m) {
      most = std::max(most, difference(network.f[m].grad(), tensor_of(expected.at(m))));
    }
    return most;
  }

  Linear network;
  RecordingTrainer trainer;
  Tensor loss;
  double passes = 0;  ///< of the fusion, in the step
};

inline nlohmann::json case_of(const std::string& name) { return oracle("mcr").at("cases").at(name); }

}  // namespace mcr_test
