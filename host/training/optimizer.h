#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

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

/// One of LibTorch's optimisers over the parameters of the network.
class HostOptimizer final : public Optimizer {
 public:
  /// `not_finite` is called with the step, and must throw, when a gradient is not finite.
  HostOptimizer(const TrainSettings& settings, std::vector<torch::Tensor> parameters,
                std::function<void(std::int64_t)> not_finite);
  ~HostOptimizer() override;

  void zero() override;
  void step() override;
  void set_rate_factor(double factor);
  [[nodiscard]] double rate() const { return rate_; }
  [[nodiscard]] std::int64_t updates() const { return updates_; }
  /// On a GPU the check for finite gradients is deferred: this waits, and calls `not_finite` if it has to.
  void check_finite();

  /// The optimiser's state as LibTorch's own archive, [n] uint8.
  [[nodiscard]] torch::Tensor saved() const;
  void restore(const torch::Tensor& saved, std::int64_t updates);

 private:
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::function<void(std::int64_t)> not_finite_;
  double clip_;
  double base_rate_;
  double rate_;
  std::int64_t updates_ = 0;
  torch::Tensor first_bad_;  ///< GPU only: the first step whose gradients were not finite, else -1
};

}  // namespace poise
