#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/types.h>

#include "poise/batch.h"
#include "poise/fusion.h"
#include "poise/role.h"
#include "poise/subset.h"

namespace poise {

/// The model as a modulation sees it: encoders and fusion, addressed by modality. Implemented by the host.
///
/// In a training step there is ONE training pass: the first call that needs features or logits of the step's
/// batch runs it, later calls return the same tensors. Partial subsets are shown to the model with the *inputs*
/// of the other modalities absent; they are differentiable and run in evaluation mode, with the BatchNorm
/// statistics that the training pass leaves, and touch neither buffers nor dropout masks. The host shares work
/// between subsets; logits and gradients are those of separate passes.
/// In an evaluation everything runs in evaluation mode, without gradients.
class Network {
 public:
  virtual ~Network();

  [[nodiscard]] virtual int modalities() const = 0;
  [[nodiscard]] virtual std::int64_t outputs() const = 0;
  [[nodiscard]] virtual const std::string& modality_name(int modality) const = 0;
  [[nodiscard]] virtual std::int64_t width(int modality) const = 0;
  [[nodiscard]] virtual bool additive() const = 0;

  /// Modality m's features, [B, width(m)]; of tokens their mean over a sample's length.
  virtual torch::Tensor encode(const Batch& batch, int modality) = 0;
  /// What the fusion takes of every modality: [B, width(m)], or tokens [B, T, width(m)].
  virtual const std::vector<torch::Tensor>& features(const Batch& batch) = 0;
  /// Logits with every modality present, [B, C].
  virtual torch::Tensor logits(const Batch& batch) = 0;
  /// Logits of each subset, [S, B, C]. The full set, if asked for, is the training pass.
  virtual torch::Tensor logits(const Batch& batch, const std::vector<Subset>& subsets) = 0;
  /// The multi-modal feature (input of the last linear layer) with every modality present, [B, d].
  virtual torch::Tensor feature(const Batch& batch) = 0;
  /// Modality m's share of the logits of an additive fusion, [B, C].
  virtual torch::Tensor share(const Batch& batch, int modality) = 0;
  /// The fusion of altered, masked or detached features, shaped as features(batch): a fresh pass in the step's
  /// mode. `keep` [B, k] multiplies modality m's features of sample b by keep[b][m]: 0 equals features of zeros,
  /// 1 changes no bit; undefined: all 1. `batch` gives the lengths.
  virtual FusionOutput fuse(const Batch& batch, const std::vector<torch::Tensor>& features,
                            const torch::Tensor& keep = {}) = 0;
  /// For the abilities that a fusion may have beside its interface (gate_switch.h): asked for by dynamic_cast.
  virtual Fusion& fusion() = 0;

  /// Every parameter, in a fixed order; the modulation's own come last, in the order of their addition.
  [[nodiscard]] virtual std::vector<torch::Tensor> parameters() const = 0;
  [[nodiscard]] virtual std::vector<torch::Tensor> parameters(Role role) const = 0;
  [[nodiscard]] virtual std::vector<torch::Tensor> parameters(Role role, int modality) const = 0;
};

}  // namespace poise
