#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <torch/types.h>
#include <nlohmann/json.hpp>

#include "poise/optimizer.h"
#include "training/settings.h"

namespace torch::optim {
class Optimizer;
}

namespace poise {

/// The factor on the learning rate in step `step` (from 0) of a run of `epochs` times `steps_per_epoch` steps.
/// Warm-up is linear: 1/n, 2/n, ... 1 over its n steps. "step": factor^floor(epoch / step_epochs). "cosine":
/// (1 + cos(pi t / T)) / 2 with t from 0 at the end of the warm-up to T at the end of the run.
double schedule_factor(const TrainSettings::Schedule& schedule, std::int64_t step,
                       std::int64_t steps_per_epoch, std::int64_t epochs);

/// One of LibTorch's optimisers over the parameters of a model, a part each.
class HostOptimizer final : public Optimizer {
 public:
  /// `not_finite` is called with the training step, and must throw, when a gradient is not finite.
  HostOptimizer(const TrainSettings& settings, const std::vector<torch::Tensor>& parameters,
                std::function<void(std::int64_t)> not_finite);
  ~HostOptimizer() override;

  void zero() override;
  void step() override;
  void step(const std::vector<torch::Tensor>& parameters) override;
  void set_rate_factor(const std::vector<torch::Tensor>& parameters, double factor) override;
  void freeze(const std::vector<torch::Tensor>& parameters) override;
  void forget(const std::vector<torch::Tensor>& parameters) override;

  /// Updates these, too, from now on.
  void add(const std::vector<torch::Tensor>& parameters);
  /// The schedule's factor on every rate.
  void set_schedule_factor(double factor);
  [[nodiscard]] double rate() const { return rate_; }
  /// On a GPU the check for finite gradients is deferred: this waits, and calls `not_finite` if it has to.
  void check_finite();

  /// Time spent in zero() and step().
  [[nodiscard]] double seconds() const { return seconds_; }

  /// Momentum and moments as LibTorch's own archive, [n] uint8.
  [[nodiscard]] torch::Tensor saved() const;
  void restore(const torch::Tensor& saved);
  /// Rate factors and what is frozen.
  [[nodiscard]] nlohmann::json saved_parts() const;
  void restore_parts(const nlohmann::json& saved);

  std::int64_t training_step = 0;  ///< for messages

 private:
  struct Part {
    torch::Tensor parameter;
    double factor = 1;  ///< on its rate
    bool frozen = false;
  };

  /// Their places among parts_. Throws Error for one that is not there.
  [[nodiscard]] std::vector<std::size_t> find(const std::vector<torch::Tensor>& parameters) const;
  void update(const std::vector<std::size_t>& chosen);
  void check(const std::vector<torch::Tensor>& parameters);
  void set_rates();

  TrainSettings::Optimizer settings_;
  std::vector<Part> parts_;
  std::unordered_map<const void*, std::size_t> places_;  ///< of each parameter among them
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::function<void(std::int64_t)> not_finite_;
  double clip_;
  double rate_;  ///< without the factors
  double seconds_ = 0;
  torch::Tensor first_bad_;  ///< GPU only: the first step whose gradients were not finite, else -1
};

}  // namespace poise
