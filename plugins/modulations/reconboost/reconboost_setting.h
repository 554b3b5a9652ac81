// Encoders that are their logits, and the trainer with which ReconBoost's tests watch the plugin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <nlohmann/json.hpp>

#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace reconboost_test {

using nlohmann::json;
using poise::Role;
using poise::testing::FixedLogits;
using poise::testing::make;
using poise::testing::RecordingTrainer;
using poise::testing::tensor_of;
using torch::Tensor;

/// Encoder m gives its one parameter, [B, C], whatever the batch.
class Leaves : public FixedLogits {
 public:
  explicit Leaves(const Tensor& logits)
      : FixedLogits(static_cast<int>(logits.size(0))), outputs_(logits.size(2)) {
    for (std::int64_t m = 0; m < logits.size(0); ++m) leaves.push_back(logits[m].clone().requires_grad_());
  }

  [[nodiscard]] std::int64_t outputs() const override { return outputs_; }
  [[nodiscard]] std::int64_t width(int m) const override {
    return m == 1 && other_width > 0 ? other_width : outputs_;
  }
  Tensor encode(const poise::Batch& /*batch*/, int m) override {
    return leaves.at(static_cast<std::size_t>(m));
  }
  [[nodiscard]] std::vector<Tensor> parameters() const override {
    auto all = leaves;
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role) const override {
    return role == Role::encoder ? leaves : role == Role::own ? own : std::vector<Tensor>();
  }
  [[nodiscard]] std::vector<Tensor> parameters(Role role, int m) const override {
    return role == Role::encoder ? std::vector<Tensor>{leaves.at(static_cast<std::size_t>(m))}
                                 : std::vector<Tensor>();
  }

  std::vector<Tensor> leaves;
  std::vector<Tensor> own;
  std::int64_t other_width = 0;

 private:
  std::int64_t outputs_;
};

/// Keeps what it is asked for and updates nothing. The head that is added becomes the identity, if it is twice as wide
/// as the logits: relu(z) - relu(-z) = z.
class Watch : public RecordingTrainer {
 public:
  explicit Watch(Leaves& leaves) : RecordingTrainer(leaves), leaves_(leaves), requests_(*this) {}

  poise::Optimizer& optimizer() override { return requests_; }
  [[nodiscard]] std::int64_t batch() const override { return current_batch; }
  [[nodiscard]] std::int64_t batches() const override { return 2; }
  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) override {
    EXPECT_TRUE(modalities.empty()) << name;
    module->to(at::kDouble);
    const auto parameters = module->parameters();
    leaves_.own.insert(leaves_.own.end(), parameters.begin(), parameters.end());
    if (name == "rate") {
      rate = parameters.at(0);
      return;
    }
    EXPECT_EQ(name, "head");
    const at::NoGradGuard no_grad;
    const Tensor one = at::eye(leaves_.outputs(), at::kDouble);
    ASSERT_EQ(parameters.size(), 4U);
    parameters[0].copy_(at::cat({one, -one}, 0));
    parameters[1].zero_();
    parameters[2].copy_(at::cat({one, -one}, 1));
    parameters[3].zero_();
  }
  void backward(const Tensor& loss) override {
    for (auto& parameter : leaves_.parameters()) parameter.mutable_grad() = Tensor();
    loss.backward();
    last_loss = loss.item<double>();
  }

  /// [k, B, C].
  [[nodiscard]] Tensor gradients() const {
    std::vector<Tensor> all;
    for (const auto& leaf : leaves_.leaves) {
      all.push_back(leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf));
    }
    return at::stack(all);
  }

  Tensor rate;
  double last_loss = 0;
  std::int64_t current_batch = 0;
  std::vector<Tensor> updated;    ///< in the last step
  std::vector<Tensor> forgotten;  ///< since it was cleared

 private:
  class Requests : public poise::testing::NoUpdates {
   public:
    explicit Requests(Watch& watch) : watch_(watch) {}
    void zero() override { ADD_FAILURE() << "zero() is not needed"; }
    void step() override { ADD_FAILURE() << "step() updates every part"; }
    void step(const std::vector<Tensor>& parameters) override { watch_.updated = parameters; }
    void forget(const std::vector<Tensor>& parameters) override {
      EXPECT_TRUE(watch_.forgotten.empty());
      watch_.forgotten = parameters;
    }

   private:
    Watch& watch_;
  };

  Leaves& leaves_;
  Requests requests_;
};

inline bool same_parameters(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = a[i].is_same(b[i]);
  return same;
}

/// The plugin on the logits and the rate of a case.
struct Setting {
  explicit Setting(const json& one_case, const std::string& options = "",
                   const std::string& logits_name = "logits")
      : network(tensor_of(one_case.at(logits_name))),
        trainer(network),
        plugin(make<poise::Modulation>(options + "\nhidden = " + std::to_string(2 * network.outputs()))) {
    if (one_case.contains("targets")) batch.targets = tensor_of(one_case.at("targets")).to(at::kLong);
    plugin->begin(trainer);
    const at::NoGradGuard no_grad;
    trainer.rate.fill_(one_case.at("rate").get<double>());
  }

  Leaves network;
  Watch trainer;
  std::shared_ptr<poise::Modulation> plugin;
  poise::Batch batch;
};

inline std::string weights_of(const json& all) {
  return "w1 = " + all.at("w1").dump() + "\nw2 = " + all.at("w2").dump() +
         "\nalpha = " + all.at("alpha").dump();
}

/// The first stage that trains `modality`, after `previous` where that is no -1.
inline std::int64_t stage_of(int k, int modality, int previous) {
  return previous < 0 || modality > 0 ? modality : k;
}

}  // namespace reconboost_test
