#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include "poise/state.h"
#include "poise/trainer.h"

/// Stand-ins for what the host implements, to test a modulation's arithmetic on numbers that a test chooses.
namespace poise::testing {

/// Cross-entropy and arg-max, written out.
class PlainObjective : public Objective {
 public:
  torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override {
    return losses(logits, batch.targets).mean();
  }
  torch::Tensor losses(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return -at::log_softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  }
  torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  }
  torch::Tensor correct(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return logits.argmax(-1).eq(targets);
  }
};

/// Refuses all that a test does not expect of its method. A test overrides what the method needs.
class RefusingNetwork : public Network {
 public:
  std::int64_t outputs() const override { throw std::logic_error("outputs"); }
  const std::string& modality_name(int /*m*/) const override { throw std::logic_error("modality_name"); }
  std::int64_t width(int /*m*/) const override { throw std::logic_error("width"); }
  bool additive() const override { return false; }
  torch::Tensor encode(const Batch& /*batch*/, int /*m*/) override { throw std::logic_error("encode"); }
  const std::vector<torch::Tensor>& features(const Batch& /*batch*/) override {
    throw std::logic_error("features");
  }
  torch::Tensor logits(const Batch& /*batch*/) override { throw std::logic_error("logits"); }
  torch::Tensor logits(const Batch& /*batch*/, const std::vector<Subset>& /*subsets*/) override {
    throw std::logic_error("logits of subsets");
  }
  torch::Tensor feature(const Batch& /*batch*/) override { throw std::logic_error("feature"); }
  torch::Tensor share(const Batch& /*batch*/, int /*m*/) override { throw std::logic_error("share"); }
  FusionOutput fuse(const Batch& /*batch*/, const std::vector<torch::Tensor>& /*features*/,
                    const torch::Tensor& /*keep*/) override {
    throw std::logic_error("fuse");
  }
  Fusion& fusion() override { throw std::logic_error("fusion"); }
  std::vector<torch::Tensor> parameters() const override { throw std::logic_error("parameters"); }
  std::vector<torch::Tensor> parameters(Role /*role*/) const override {
    throw std::logic_error("parameters of a role");
  }
  std::vector<torch::Tensor> parameters(Role /*role*/, int /*m*/) const override {
    throw std::logic_error("parameters of a role and modality");
  }
};

/// A network whose logits and parameters are set by the test. Its fusion is not additive.
class FixedLogits : public RefusingNetwork {
 public:
  explicit FixedLogits(int modalities) : modalities_(modalities) {
    for (int m = 0; m < modalities; ++m) names_.push_back(std::to_string(m));
  }

  /// Shows `z` [2^k - 1, B, C], row S - 1 for the subset with bits S; returns the leaf whose gradient is looked
  /// at.
  torch::Tensor show(const torch::Tensor& z) {
    z_ = z.clone().requires_grad_();
    return z_;
  }

  int modalities() const override { return modalities_; }
  std::int64_t outputs() const override { return z_.size(2); }
  const std::string& modality_name(int m) const override { return names_.at(static_cast<std::size_t>(m)); }
  std::int64_t width(int /*m*/) const override { return 1; }
  torch::Tensor logits(const Batch& /*batch*/) override { return z_[-1]; }
  torch::Tensor logits(const Batch& /*batch*/, const std::vector<Subset>& subsets) override {
    std::vector<torch::Tensor> rows;
    for (const Subset s : subsets) rows.push_back(z_[static_cast<std::int64_t>(s.bits) - 1]);
    return at::stack(rows);
  }
  torch::Tensor feature(const Batch& /*batch*/) override { return {}; }
  std::vector<torch::Tensor> parameters() const override { return {head_weight, encoder_parameter}; }
  std::vector<torch::Tensor> parameters(Role role) const override {
    return {role == Role::head ? head_weight : encoder_parameter};
  }
  std::vector<torch::Tensor> parameters(Role role, int /*m*/) const override { return parameters(role); }

  torch::Tensor head_weight = at::zeros({4, 3}, at::kDouble).requires_grad_();
  torch::Tensor encoder_parameter = at::zeros({5}, at::kDouble).requires_grad_();

 private:
  int modalities_;
  std::vector<std::string> names_;
  torch::Tensor z_;
};

/// Updates nothing, and refuses what a test does not expect of its method. A test overrides what it watches.
class NoUpdates : public Optimizer {
 public:
  void zero() override {}
  void step() override {}
  void step(const std::vector<torch::Tensor>& /*parameters*/) override {}
  void set_rate_factor(const std::vector<torch::Tensor>& /*parameters*/, double /*factor*/) override {
    throw std::logic_error("set_rate_factor");
  }
  void freeze(const std::vector<torch::Tensor>& /*parameters*/) override { throw std::logic_error("freeze"); }
  void forget(const std::vector<torch::Tensor>& /*parameters*/) override { throw std::logic_error("forget"); }
};

/// Keeps the last value of every record. Updates nothing, and has neither data nor teachers.
class RecordingTrainer : public Trainer {
 public:
  explicit RecordingTrainer(Network& network) : network_(network) {}

  Network& network() override { return network_; }
  const Objective& objective() override { return objective_; }
  Optimizer& optimizer() override { return optimizer_; }
  std::int64_t epoch() const override { return current_epoch; }
  std::int64_t epochs() const override { return 100; }
  std::int64_t step() const override { return 0; }
  std::int64_t batch() const override { return 0; }
  std::int64_t batches() const override { return 1; }
  void backward(const torch::Tensor& loss) override { loss.backward(); }
  std::vector<torch::Tensor> gradients(const torch::Tensor& /*loss*/,
                                       const std::vector<torch::Tensor>& /*parameters*/) override {
    throw std::logic_error("gradients");
  }
  void record(const std::string& name, const torch::Tensor& value) override { recorded[name] = value; }
  void add_module(const std::string& /*name*/, const std::shared_ptr<torch::nn::Module>& /*module*/,
                  const std::vector<int>& /*modalities*/) override {
    throw std::logic_error("add_module");
  }
  std::int64_t samples(Split /*split*/) const override { throw std::logic_error("samples"); }
  void for_each_batch(Split /*split*/, const torch::Tensor& /*ids*/,
                      const std::function<bool(const Batch&)>& /*see*/) override {
    throw std::logic_error("for_each_batch");
  }
  Probe probe(std::int64_t /*epochs*/, const std::function<torch::Tensor(const Batch&)>& /*loss*/) override {
    throw std::logic_error("probe");
  }
  torch::Tensor teacher_feature(const Batch& /*batch*/, int /*m*/) override {
    throw std::logic_error("teacher_feature");
  }
  void snapshot(const std::string& /*name*/) override { throw std::logic_error("snapshot"); }
  void restore(const std::string& /*name*/) override { throw std::logic_error("restore"); }
  void stop() override { throw std::logic_error("stop"); }

  std::map<std::string, torch::Tensor> recorded;
  std::int64_t current_epoch = 0;

 private:
  Network& network_;
  PlainObjective objective_;
  NoUpdates optimizer_;
};

/// Holds what visit() stores and gives it back, scalars and tensors at different times as the host does.
class StoredState : public State {
 public:
  void scalar(const std::string& name, double& value) override {
    exchange(numbers_, name, value, !tensors_now);
  }
  void scalar(const std::string& name, std::int64_t& value) override {
    exchange(integers_, name, value, !tensors_now);
  }
  void tensor(const std::string& name, torch::Tensor& value) override {
    if (!restoring && value.defined()) tensors_[name] = value.clone();
    if (restoring && tensors_now) value = tensors_.at(name).clone();
  }

  bool restoring = false;
  bool tensors_now = false;

 private:
  template <class Value>
  void exchange(std::map<std::string, Value>& kept, const std::string& name, Value& value, bool now) {
    if (!restoring) kept[name] = value;
    if (restoring && now) value = kept.at(name);
  }

  std::map<std::string, double> numbers_;
  std::map<std::string, std::int64_t> integers_;
  std::map<std::string, torch::Tensor> tensors_;
};

}  // namespace poise::testing
