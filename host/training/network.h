#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "poise/encoder.h"
#include "poise/fusion.h"
#include "poise/intermediate.h"
#include "poise/network.h"
#include "training/plugin_call.h"

namespace poise {

/// Passes through the parts of the network since the last reset, and the time that they took. An encoder's pass over a batch counts
/// 1, over the single row of an absent input it counts as a row.
struct PassCounts {
  std::vector<std::int64_t> encoder_batches;      ///< per modality
  std::vector<std::int64_t> encoder_absent_rows;  ///< per modality
  std::int64_t fusion_batches = 0;                ///< partial subsets count one each, stacked or not
  double seconds = 0;                             ///< inside encoders and fusion
};

/// The network of a run. Shares work between the subsets of a batch: one evaluation pass per encoder serves all
/// partial subsets, none where the encoder's modes agree, and an absent modality costs one row where the
/// encoder says that it is constant. The full set is encoded and fused in calls of its own, since another batch
/// size could change its bits. Where the fusion acts inside the encoders nothing can be shared, and the partial
/// subsets are one stacked batch.
class FusedNetwork final : public Network {
 public:
  /// Builds the plugins; the default generator must be seeded. `modalities` in the encoders' order.
  FusedNetwork(const std::vector<Modality>& modalities, std::vector<Loaded<Encoder>> encoders,
               Loaded<Fusion> fusion, const Task& task);

  [[nodiscard]] int modalities() const override { return static_cast<int>(encoders_.size()); }
  [[nodiscard]] std::int64_t outputs() const override { return task_.outputs; }
  [[nodiscard]] const Task& task() const { return task_; }
  [[nodiscard]] const std::string& modality_name(int modality) const override;
  [[nodiscard]] std::int64_t width(int modality) const override;
  [[nodiscard]] bool additive() const override;

  torch::Tensor encode(const Batch& batch, int modality) override;
  const std::vector<torch::Tensor>& features(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch, const std::vector<Subset>& subsets) override;
  torch::Tensor feature(const Batch& batch) override;
  torch::Tensor share(const Batch& batch, int modality) override;
  FusionOutput fuse(const Batch& batch, const std::vector<torch::Tensor>& features,
                    const torch::Tensor& keep) override;
  Fusion& fusion() override { return *fusion_.object; }

  [[nodiscard]] std::vector<torch::Tensor> parameters() const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role) const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role, int modality) const override;

  /// Takes a module of the modulation's own in, on the network's device.
  void add(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
           const std::vector<int>& modalities);

  /// A training step begins: what was computed for the last batch is dropped.
  void begin_step();
  /// Until the next begin_step() everything runs in evaluation mode; the caller switches gradients off.
  void begin_evaluation();
  /// Drops what is kept of the current batch.
  void forget();
  /// The logits of the step's training pass, undefined when there was none.
  [[nodiscard]] const torch::Tensor& training_logits() const { return pass_.output.logits; }
  /// The features of the step's training pass, empty or undefined where there was none.
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
    torch::Tensor targets;                 ///< the batch's, held so that no other can be taken for it
    std::vector<torch::Tensor> features;   ///< of the training (or evaluation) pass, as the fusion takes them
    std::vector<torch::Tensor> pooled;     ///< the same, tokens pooled
    FusionOutput output;                   ///< of the full set
    std::vector<torch::Tensor> evaluated;  ///< features in evaluation mode
    std::vector<torch::Tensor> absent;     ///< features of the absent input, expanded to B rows
    std::vector<torch::Tensor> shares;
  };

  Pass& pass_of(const Batch& batch);
  void set_mode(bool training);
  FusionOutput& fused(const Batch& batch);
  FusionOutput fused_features(const Batch& batch, const std::vector<torch::Tensor>& features);
  torch::Tensor encoded(const Batch& batch, int modality, const torch::Tensor& input, bool evaluate);
  const torch::Tensor& encoded_as_taken(const Batch& batch, int modality);
  /// Through all encoders at once, by a fusion that acts inside them.
  std::vector<torch::Tensor> encoded_together(const std::vector<torch::Tensor>& inputs, std::int64_t batches);
  /// What the fusion is told of its features' lengths, `times` after each other.
  std::vector<torch::Tensor> token_lengths(const Batch& batch, std::int64_t times) const;
  const torch::Tensor& evaluated(const Batch& batch, int modality);
  const torch::Tensor& absent(const Batch& batch, int modality);
  std::vector<torch::Tensor> partial_features(const Batch& batch, const std::vector<Subset>& subsets);
  torch::Tensor partial_logits(const Batch& batch, const std::vector<Subset>& subsets);

  std::vector<std::string> names_;
  std::vector<Loaded<Encoder>> encoders_;
  Loaded<Fusion> fusion_;
  bool takes_tokens_;
  IntermediateFusion* intermediate_;    ///< the fusion, where it acts inside the encoders
  std::vector<StagedEncoder*> staged_;  ///< the encoders, for it
  Task task_;
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> own_;  ///< the modulation's modules
  std::vector<RoleOf> roles_;  ///< every parameter once, in order
  torch::Device device_ = torch::kCPU;
  bool training_ = true;
  Pass pass_;
  PassCounts counts_;
};

}  // namespace poise
