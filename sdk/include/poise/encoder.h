#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/dataset.h"

namespace poise {

/// Interface poise.encoder/1: one modality's input `[B, ...]` to features `[B, width]`, or to tokens
/// `[B, T, width]`.
/// Lifecycle: the constructor reads options and nothing else; build() once, with the default generator seeded,
/// registers parameters and modules; then forward() from one thread, in training and evaluation mode.
class Encoder : public torch::nn::Module {
 public:
  Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  ~Encoder() override;

  virtual void build(const Modality& modality) = 0;
  /// Columns of the features, known after build().
  [[nodiscard]] virtual std::int64_t width() const = 0;
  /// True when the features are tokens: of a sequence one per time step, as many as its lengths say. Known after
  /// construction.
  [[nodiscard]] virtual bool gives_tokens() const;
  /// `lengths` [B] int64 where the modality is a sequence, else undefined. What is beyond a sample's length
  /// (padding) must not change its features.
  virtual torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) = 0;

  /// True when training and evaluation mode compute the same bits and change no buffer (no BatchNorm, no
  /// dropout). The host then runs one pass where it would need two.
  [[nodiscard]] virtual bool modes_agree() const;
  /// What stands for this modality when it is absent: a tensor like `input`. Zeros unless overridden.
  [[nodiscard]] virtual torch::Tensor absent(const torch::Tensor& input) const;
  /// True when an absent input gives every sample the same features in evaluation mode, whatever its length.
  /// The host then encodes one row instead of a batch.
  [[nodiscard]] virtual bool constant_when_absent() const;
};

}  // namespace poise
