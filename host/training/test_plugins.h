#pragma once

// A data set of random vectors, and plugins that a test can look into.

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "poise/dataset.h"
#include "poise/encoder.h"
#include "poise/fusion.h"
#include "poise/modulation.h"

namespace poise::testing {

/// Two modalities of 3 numbers around a point of their class.
class Points : public Dataset {
 public:
  std::vector<Modality> modalities() const override {
    return {{.name = "left", .shape = {3}}, {.name = "right", .shape = {3}}};
  }
  Task task() const override { return {.outputs = 2, .labels = {"a", "b"}}; }
  std::vector<std::filesystem::path> files() const override { return {}; }
  void build(const DatasetSpec& spec) override { spec_ = spec; }
  std::int64_t size(Split split) const override { return split == Split::train ? 33 : 20; }
  Batch fetch(Split split, const torch::Tensor& ids, std::uint64_t /*seed*/) const override {
    Batch batch;
    batch.ids = ids;
    batch.targets = ids.remainder(2);
    for (const int m : spec_.modalities) {
      const auto angle = ids.to(at::kFloat) * (1.7F + static_cast<float>(m) + static_cast<float>(split));
      batch.inputs.push_back(
          at::stack({angle.sin(), angle.cos(), batch.targets.to(at::kFloat) + angle.sin()}, 1));
      if (m == poisoned) batch.inputs.back().masked_fill_(ids.eq(7).unsqueeze(1), std::nan(""));
      batch.lengths.emplace_back();
    }
    return batch;
  }
  int poisoned = -1;

 private:
  DatasetSpec spec_;
};

class Linear : public Encoder {
 public:
  void build(const Modality& /*modality*/) override {
    linear_ = register_module("linear", torch::nn::Linear(3, 4));
  }
  std::int64_t width() const override { return 4; }
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    return at::tanh(linear_(input));
  }
  bool modes_agree() const override { return true; }
  bool constant_when_absent() const override { return true; }

 private:
  torch::nn::Linear linear_{nullptr};
};

class Join : public Fusion {
 public:
  void build(const FusionSpec& spec) override {
    head_ = register_module("head", torch::nn::Linear(4 * static_cast<int>(spec.widths.size()), 2));
    set_role(head_->weight, Role::head);
  }
  FusionOutput forward(const std::vector<torch::Tensor>& features,
                       const std::vector<torch::Tensor>& /*lengths*/) override {
    const auto feature = at::cat(features, 1);
    return {head_(feature), feature};
  }
  bool modes_agree() const override { return true; }

 private:
  torch::nn::Linear head_{nullptr};
};

/// Uses every hook that decides what a step sees, and state of both kinds.
class Scripted : public Modulation {
 public:
  std::function<void(const Batch&, Trainer&)> on_step;
  std::optional<Plan> scripted_plan;
  std::int64_t asked_passes = 1;
  bool noisy = false;
  std::vector<std::string> calls;

  void begin(Trainer& /*trainer*/) override { calls.emplace_back("begin"); }
  void begin_epoch(Trainer& /*trainer*/) override { calls.emplace_back("begin_epoch"); }
  void end_epoch(Trainer& /*trainer*/) override { calls.emplace_back("end_epoch"); }
  std::int64_t passes(Trainer& /*trainer*/) override { return asked_passes; }
  std::optional<Plan> plan(Trainer& /*trainer*/) override { return scripted_plan; }
  torch::Tensor loss(const Batch& batch, Trainer& trainer) override {
    if (on_step) on_step(batch, trainer);
    return Modulation::loss(batch, trainer);
  }
  void modulate(const Batch& /*batch*/, Trainer& trainer) override {
    if (!noisy) return;
    drawn_ = drawn_.defined() ? drawn_ + at::randn({2}) : at::randn({2});
    strength_ += 0.1;
    for (auto& parameter : trainer.network().parameters(Role::encoder, 1)) {
      parameter.grad().mul_(strength_).add_(drawn_[0] * 0.01);
    }
    trainer.record("drawn", drawn_);
  }
  void visit(State& state) override {
    state.scalar("strength", strength_);
    state.tensor("drawn", drawn_);
  }

 private:
  double strength_ = 1;
  torch::Tensor drawn_;
};

}  // namespace poise::testing
