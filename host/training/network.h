#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "poise/encoder.h"
#include "poise/fusion.h"
#include "poise/network.h"
#include "training/plugin_call.h"

namespace poise {

/// Passes through the parts of the network, counted since the last reset. An encoder's pass over a batch counts
/// 1, over the single row of an absent input it counts as a row.
struct PassCounts {
  std::vector<std::int64_t> encoder_batches;      ///< per modality
  std::vector<std::int64_t> encoder_absent_rows;  ///< per modality
  std::int64_t fusion_batches = 0;                ///< partial subsets count one each, stacked or not
};

/// The network of a run. Shares work between the subsets of a batch: one evaluation pass per encoder serves all
/// partial subsets, none where the encoder's modes agree, and an absent modality costs one row where the
/// encoder says that it is constant. The full set is encoded and fused in calls of its own, since another batch
/// size could change its bits.
class FusedNetwork final : public Network {
 public:
  /// Builds the plugins; the default generator must be seeded. `modalities` in the encoders' order.
  FusedNetwork(const std::vector<Modality>& modalities, std::vector<Loaded<Encoder>> encoders,
               Loaded<Fusion> fusion, const Task& task);

  [[nodiscard]] int modalities() const override { return static_cast<int>(encoders_.size()); }
  [[nodiscard]] std::int64_t outputs() const override { return outputs_; }
  [[nodiscard]] const std::string& modality_name(int modality) const override;
  [[nodiscard]] std::int64_t width(int modality) const override;
  [[nodiscard]] bool additive() const override;

  const std::vector<torch::Tensor>& encode(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch, const std::vector<Subset>& subsets) override;
  torch::Tensor feature(const Batch& batch) override;
  torch::Tensor share(const Batch& batch, int modality) override;

  [[nodiscard]] std::vector<torch::Tensor> parameters() const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role) const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role, int modality) const override;

  /// A training step begins: what was computed for the last batch is dropped.
  void begin_step();
  /// Until the next begin_step() everything runs in evaluation mode; the caller switches gradients off.
  void begin_evaluation();
  /// Drops what is kept of the current batch.
  void forget();
  /// The logits of the step's training pass, undefined when there was none.
  [[nodiscard]] const torch::Tensor& training_logits() const { return pass_.output.logits; }
  /// The features of the step's training pass, empty when there was none.
  [[nodiscard]] const std::vector<torch::Tensor>& training_features() const { return pass_.features; }

  /// Parameters and buffers by name ("encoder.audio.conv.weight"), sharing storage with the network.
  [[nodiscard]] std::vector<std::pair<std::string, torch::Tensor>> named_tensors() const;
  /// `batch` with the inputs absent that row b's bits in `present` ([B] int64) do not show.
  [[nodiscard]] Batch masked(const Batch& batch, const torch::Tensor& present) const;
  /// Moves all tensors; on the CPU puts convolutions into the layout of channels_last().
  void place(const torch::Device& device);
  [[nodiscard]] PassCounts& counts() { return counts_; }

 private:
  /// What one batch has cost so far, kept until the step ends.
  struct Pass {
    const void* batch = nullptr;           ///< identity of the batch's targets
    std::vector<torch::Tensor> features;   ///< of the training (or evaluation) pass
    FusionOutput output;                   ///< of the full set
    std::vector<torch::Tensor> evaluated;  ///< features in evaluation mode
    std::vector<torch::Tensor> absent;     ///< features of the absent input, [B, d] (expanded)
    std::vector<torch::Tensor> shares;
  };

  Pass& pass_of(const Batch& batch);
  FusionOutput& fused(const Batch& batch);
  torch::Tensor encoded(const Batch& batch, int modality, const torch::Tensor& input, bool evaluate);
  const torch::Tensor& evaluated(const Batch& batch, int modality);
  const torch::Tensor& absent(const Batch& batch, int modality);
  torch::Tensor partial_logits(const Batch& batch, const std::vector<Subset>& subsets);

  std::vector<std::string> names_;
  std::vector<Loaded<Encoder>> encoders_;
  Loaded<Fusion> fusion_;
  std::int64_t outputs_;
  std::vector<RoleOf> roles_;  ///< every parameter once, in order
  bool training_ = true;
  Pass pass_;
  PassCounts counts_;
};

/// Whether a convolution's weight is laid out channels-last on the CPU: a fixed rule on its shape, so that a
/// resumed run computes the same bits.
bool channels_last(const torch::Tensor& weight);

/// An input of images `[B, C, H, W]` on the CPU, laid out channels-last; any other as it is.
torch::Tensor channels_last_input(const torch::Tensor& input);

}  // namespace poise
