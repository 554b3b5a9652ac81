#pragma once

#include <vector>

#include <torch/types.h>

namespace poise {

/// Updates the model's parameters from their gradients, as [train] says. Implemented by the host, which keeps what is
/// set here in the checkpoints.
class Optimizer {
 public:
  virtual ~Optimizer();

  /// Drops every gradient.
  virtual void zero() = 0;
  /// [train]'s clipping, then the update of every parameter that has a gradient and is not frozen. A value that is
  /// not finite ends the run with a sentence that names the modality and the step.
  virtual void step() = 0;
  /// The same for these parameters alone: the others, their gradients and their state stay as they are.
  virtual void step(const std::vector<torch::Tensor>& parameters) = 0;

  /// Multiplies the learning rate of these parameters from now on; 1: [train]'s. (A factor on gradients is not the
  /// same: Adam undoes it.)
  virtual void set_rate_factor(const std::vector<torch::Tensor>& parameters, double factor) = 0;
  /// No update moves these parameters any more, neither by momentum nor by weight decay.
  virtual void freeze(const std::vector<torch::Tensor>& parameters) = 0;
  /// Drops the momentum and the moments of these parameters, as if they had never been updated.
  virtual void forget(const std::vector<torch::Tensor>& parameters) = 0;
};

/// Scales the gradients of `parameters` so that their joint L2 norm is at most `limit`, where the boolean
/// scalar `when` holds. Parameters without a gradient are passed over. Never waits for a GPU.
void clip_gradients(const std::vector<torch::Tensor>& parameters, double limit,
                    const torch::Tensor& when = {});

}  // namespace poise
