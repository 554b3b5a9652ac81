#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace poise {

/// Some samples of a data set. A dataset fills ids, inputs, lengths and targets on the CPU; the host moves
/// them to the device and adds what the epoch's plan says.
struct Batch {
  torch::Tensor ids;                   ///< [B] int64
  std::vector<torch::Tensor> inputs;   ///< per modality [B, ...]
  std::vector<torch::Tensor> lengths;  ///< per modality [B] int64, undefined where it is no sequence
  torch::Tensor targets;               ///< as the task's kind says: [B] int64 or [B, C] float32
  torch::Tensor weights;               ///< [B] factor of each sample's loss; undefined: all 1

  [[nodiscard]] std::int64_t size() const { return targets.size(0); }
};

}  // namespace poise
