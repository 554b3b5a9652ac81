#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

#include "poise/state.h"
#include "poise/task.h"
#include "poise/trainer.h"
#include "reference_network.h"

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

/// v <- 0.9 v + g,  p <- p - 0.05 v; a parameter without a gradient stays.
class Optimizer final : public poise::Optimizer {
 public:
  explicit Optimizer(std::vector<torch::Tensor> parameters);

  void zero() override;
  void step() override;

  bool frozen = false;                  ///< step() changes nothing
  std::vector<torch::Tensor> momentum;  ///< v of each parameter, undefined before its first gradient

 private:
  std::vector<torch::Tensor> parameters_;
};

/// Keeps the last value of every record.
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
  void backward(const torch::Tensor& loss) override;
  void record(const std::string& name, const torch::Tensor& value) override;

  std::int64_t current_epoch = 0;
  std::int64_t current_step = 0;
  std::map<std::string, torch::Tensor> recorded;

 private:
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
