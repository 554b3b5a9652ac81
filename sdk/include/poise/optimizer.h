#pragma once

#include <vector>

#include <torch/types.h>

namespace poise {

/// Updates the network's parameters from their gradients. Implemented by the host.
class Optimizer {
 public:
  virtual ~Optimizer();

  /// Drops every gradient.
  virtual void zero() = 0;
  /// [train]'s clipping, then the update. A value that is not finite ends the run with a sentence that names
  /// the modality and the step.
  virtual void step() = 0;
};

/// Scales the gradients of `parameters` so that their joint L2 norm is at most `limit`, where the boolean
/// scalar `when` holds. Parameters without a gradient are passed over. Never waits for a GPU.
void clip_gradients(const std::vector<torch::Tensor>& parameters, double limit,
                    const torch::Tensor& when = {});

}  // namespace poise
