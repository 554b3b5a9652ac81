#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace poise {

/// Ability of an encoder, beside poise::Encoder: it runs in stages, between which a fusion may act. The stages in
/// order and then pool() compute what forward() does.
class StagedEncoder {
 public:
  virtual ~StagedEncoder();

  /// Channels of each stage's output, known after build().
  [[nodiscard]] virtual std::vector<std::int64_t> stage_channels() const = 0;
  /// From the input, or the output of the stage before, to [B, channels, ...].
  virtual torch::Tensor stage(std::size_t index, const torch::Tensor& x) = 0;
  /// From the last stage's output to features [B, width].
  virtual torch::Tensor pool(const torch::Tensor& x) = 0;
};

/// Ability of a fusion, beside poise::Fusion: it acts between the stages of the encoders. Partial subsets are then
/// passes of the whole network, since a modality's features depend on the others' inputs.
class IntermediateFusion {
 public:
  virtual ~IntermediateFusion();

  /// One feature [B, width] per modality, after its last exchange; Fusion::forward() goes on from there.
  virtual std::vector<torch::Tensor> encode(const std::vector<StagedEncoder*>& encoders,
                                            const std::vector<torch::Tensor>& inputs) = 0;
};

}  // namespace poise
