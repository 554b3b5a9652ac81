#pragma once

#include <cstdint>
#include <string>

#include <torch/types.h>

#include "poise/network.h"
#include "poise/objective.h"
#include "poise/optimizer.h"

namespace poise {

/// The run as a modulation sees it. Implemented by the host; valid during the hook that receives it. The
/// default generator is seeded and checkpointed by the host: draw from it, never seed it.
class Trainer {
 public:
  virtual ~Trainer();

  virtual Network& network() = 0;
  virtual const Objective& objective() = 0;
  virtual Optimizer& optimizer() = 0;

  /// The epoch in progress, from 0, and how many there will be.
  [[nodiscard]] virtual std::int64_t epoch() const = 0;
  [[nodiscard]] virtual std::int64_t epochs() const = 0;
  /// Updates begun before this one, over all epochs.
  [[nodiscard]] virtual std::int64_t step() const = 0;

  /// Drops the old gradients and differentiates `loss`, which is counted and logged as the step's.
  virtual void backward(const torch::Tensor& loss) = 0;
  /// Logs the mean over the epoch of a value: a scalar, or [k] with one per modality. Kept on its device until
  /// the epoch ends, so that nothing waits.
  virtual void record(const std::string& name, const torch::Tensor& value) = 0;
};

}  // namespace poise
