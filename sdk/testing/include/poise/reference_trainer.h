#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/reference_network.h"
#include "poise/state.h"
#include "poise/task.h"
#include "poise/trainer.h"

/// The rest of what the host offers, as plain as the network.
namespace poise::reference {

/// z: logits, y: targets, s: the logistic function.
///   classification: -log softmax(z)_y                               score: softmax(z)_y
///   multi_label:    -mean over labels of y log s(z) + (1-y) log s(-z)     mean probability of what each label is
///   regression:     mean over outputs of (z - y)^2                        exp(-loss)
class Objective final : public poise::Objective {
 public:
  explicit Objective(TaskKind kind) : kind_(kind) {}

  [[nodiscard]] torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override;
  [[nodiscard]] torch::Tensor losses(const torch::Tensor& logits,
                                     const torch::Tensor& targets) const override;
  [[nodiscard]] torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override;
  [[nodiscard]] torch::Tensor correct(const torch::Tensor& logits,
                                      const torch::Tensor& targets) const override;

 private:
  TaskKind kind_;
};

/// v <- 0.9 v + g,  p <- p - 0.05 factor v; a parameter without a gradient stays, and so does a frozen one.
class Optimizer final : public poise::Optimizer {
 public:
  explicit Optimizer(const std::vector<torch::Tensor>& parameters) { add(parameters); }

  void zero() override;
  void step() override;
  void step(const std::vector<torch::Tensor>& parameters) override;
  void set_rate_factor(const std::vector<torch::Tensor>& parameters, double factor) override;
  void freeze(const std::vector<torch::Tensor>& parameters) override;
  void forget(const std::vector<torch::Tensor>& parameters) override;
  void add(const std::vector<torch::Tensor>& parameters);

  struct Part {
    torch::Tensor parameter;
    torch::Tensor momentum;  ///< v, undefined before its first gradient
    double factor = 1;
    bool frozen = false;
  };
  std::vector<Part> parts;
  bool stands_still = false;  ///< no update changes anything

 private:
  Part& part_of(const torch::Tensor& parameter);
  static void update(Part& part);
};

/// Copies of all tensors of a network by name, and of the optimizer's momentum.
struct Snapshot {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  std::vector<torch::Tensor> momentum;
};

/// Keeps the last value of every record. Its data are two batches that the test sets.
class Trainer final : public poise::Trainer {
 public:
  Trainer(Network& network, TaskKind kind)
      : network_(network), objective_(kind), optimizer_(network.parameters()) {}

  Network& network() override { return network_; }
  const poise::Objective& objective() override { return objective_; }
  Optimizer& optimizer() override { return optimizer_; }
  [[nodiscard]] std::int64_t epoch() const override { return current_epoch; }
  [[nodiscard]] std::int64_t epochs() const override { return 100; }
  [[nodiscard]] std::int64_t step() const override { return current_step; }
  [[nodiscard]] std::int64_t batch() const override { return current_batch; }
  [[nodiscard]] std::int64_t batches() const override { return pass_batches; }
  void backward(const torch::Tensor& loss) override;
  std::vector<torch::Tensor> gradients(const torch::Tensor& loss,
                                       const std::vector<torch::Tensor>& parameters) override;
  void record(const std::string& name, const torch::Tensor& value) override;
  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities = {}) override;
  [[nodiscard]] std::int64_t samples(Split split) const override { return data_of(split).size(); }
  /// In two batches.
  void for_each_batch(Split split, const torch::Tensor& ids,
                      const std::function<bool(const Batch&)>& see) override;
  Probe probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss) override;
  torch::Tensor teacher_feature(const Batch& batch, int modality) override;
  void snapshot(const std::string& name) override { snapshots[name] = taken(); }
  void restore(const std::string& name) override;
  void stop() override { stopped = true; }

  [[nodiscard]] Snapshot taken() const;
  /// Throws Error where the network has other tensors by now.
  void put_back(const Snapshot& snapshot);

  Batch train_data;
  Batch validation_data;
  std::shared_ptr<Network> teachers;  ///< another network of the same kind; none: teachers are refused
  std::int64_t current_epoch = 0;
  std::int64_t current_step = 0;
  std::int64_t current_batch = 0;
  std::int64_t pass_batches = 1;
  std::int64_t backward_passes = 0;  ///< since it was set to 0
  std::int64_t extra_samples = 0;    ///< shown outside the training steps, since it was set to 0
  bool in_step = false;              ///< a training step, in which no other data may be visited
  bool stopped = false;
  std::map<std::string, Snapshot> snapshots;
  std::map<std::string, torch::Tensor> recorded;

 private:
  [[nodiscard]] const Batch& data_of(Split split) const;
  void refuse_in_step() const;
  double mean_loss(Split split, const std::function<torch::Tensor(const Batch&)>& loss);

  Network& network_;
  Objective objective_;
  Optimizer optimizer_;
};

/// Holds what visit() stores and gives it back: the scalars before begin(), the tensors after it.
class Checkpoint final : public State {
 public:
  enum class Mode { save, restore_scalars, restore_tensors };

  void scalar(const std::string& name, double& value) override;
  void scalar(const std::string& name, std::int64_t& value) override;
  void tensor(const std::string& name, torch::Tensor& value) override;
  [[nodiscard]] std::vector<std::string> names() const;
  void remove(const std::string& name);

  Mode mode = Mode::save;
  std::map<std::string, double> numbers;
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, torch::Tensor> tensors;
};

}  // namespace poise::reference
