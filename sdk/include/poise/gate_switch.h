#pragma once

#include <torch/types.h>

namespace poise {

/// Ability of a fusion, beside poise::Fusion, whose modalities gate each other's features: a modality's gates can be
/// replaced by their running average over the training steps so far, one for all samples, through which no gradient
/// flows. The averages count every training step, and are kept with the fusion's buffers. Evaluation neither
/// replaces nor counts.
class GateSwitch {
 public:
  virtual ~GateSwitch();

  /// From now on the gates of the modalities where `replaced` ([k] bool, on the model's device) holds are replaced.
  virtual void replace_gates(const torch::Tensor& replaced) = 0;
};

}  // namespace poise
