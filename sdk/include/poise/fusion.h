#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/role.h"
#include "poise/task.h"

namespace poise {

/// What a fusion is built for.
struct FusionSpec {
  std::vector<std::string> modalities;  ///< names
  std::vector<std::int64_t> widths;     ///< of the encoders' features
  /// Channels after each stage of a modality's encoder; empty where it does not run in stages (see
  /// intermediate.h).
  std::vector<std::vector<std::int64_t>> stage_channels;
  Task task;
};

struct FusionOutput {
  torch::Tensor logits;   ///< [B, C]
  torch::Tensor feature;  ///< [B, d], the input of the last linear layer
};

/// Interface poise.fusion/1: the features of all modalities to logits.
/// Lifecycle as an encoder's. A fusion with one modality is legal, unless build() refuses it.
class Fusion : public torch::nn::Module {
 public:
  Fusion() = default;
  Fusion(const Fusion&) = delete;
  Fusion& operator=(const Fusion&) = delete;
  ~Fusion() override;

  virtual void build(const FusionSpec& spec) = 0;
  /// True when forward() takes tokens. To any other fusion the host gives their mean over a sample's length.
  [[nodiscard]] virtual bool takes_tokens() const;
  /// `features[m]` is [B, widths[m]], or tokens [B, T, widths[m]] of which sample b has `lengths[m][b]` ([B]
  /// int64; undefined: all T). `lengths` is undefined for features that are no tokens.
  virtual FusionOutput forward(const std::vector<torch::Tensor>& features,
                               const std::vector<torch::Tensor>& lengths) = 0;
  /// As Encoder::modes_agree().
  [[nodiscard]] virtual bool modes_agree() const;

  /// True when logits are a sum of one share per modality, each with its own weight, and of biases. Known after
  /// construction.
  [[nodiscard]] virtual bool additive() const;
  /// Additive fusions only: modality m's share of the logits, [B, C]: `feature W_m^T` and its own bias, or b / k of
  /// one bias. The shares sum to the logits.
  virtual torch::Tensor share(int modality, const torch::Tensor& feature);

  /// The roles that build() gave; a parameter not listed has Role::fusion and no modality.
  [[nodiscard]] const std::vector<RoleOf>& roles() const { return roles_; }

 protected:
  /// Says in build() what a registered parameter is for.
  void set_role(const torch::Tensor& parameter, Role role, std::vector<int> modalities = {});

 private:
  std::vector<RoleOf> roles_;
};

}  // namespace poise
