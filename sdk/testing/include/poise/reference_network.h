#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/encoder.h"
#include "poise/fusion.h"
#include "poise/network.h"

/// A second, plain implementation of what the host offers a modulation. Every subset of modalities is a full pass of
/// its own; nothing is shared and nothing is fast.
namespace poise::reference {

/// Tokens [B, T, d] to their mean over each sample's length, row by row. Features [B, d] stay what they are.
torch::Tensor mean_token(const torch::Tensor& features, const torch::Tensor& lengths);

class Network final : public poise::Network {
 public:
  /// Builds all modules; the default generator must be seeded.
  Network(const std::vector<Modality>& modalities, std::vector<std::shared_ptr<Encoder>> encoders,
          std::shared_ptr<Fusion> fusion, const Task& task);

  [[nodiscard]] int modalities() const override { return static_cast<int>(encoders_.size()); }
  [[nodiscard]] std::int64_t outputs() const override { return task_.outputs; }
  [[nodiscard]] const std::string& modality_name(int modality) const override;
  [[nodiscard]] std::int64_t width(int modality) const override;
  [[nodiscard]] bool additive() const override { return fusion_->additive(); }

  torch::Tensor encode(const Batch& batch, int modality) override;
  const std::vector<torch::Tensor>& features(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch) override;
  torch::Tensor logits(const Batch& batch, const std::vector<Subset>& subsets) override;
  torch::Tensor feature(const Batch& batch) override;
  torch::Tensor share(const Batch& batch, int modality) override;
  FusionOutput fuse(const Batch& batch, const std::vector<torch::Tensor>& features,
                    const torch::Tensor& keep = {}) override;
  Fusion& fusion() override { return *fusion_; }

  [[nodiscard]] std::vector<torch::Tensor> parameters() const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role) const override;
  [[nodiscard]] std::vector<torch::Tensor> parameters(Role role, int modality) const override;

  /// Takes a module of the modulation's own in, in the network's precision and mode.
  void add(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
           const std::vector<int>& modalities);

  /// A training step begins: training mode, nothing is known of a batch.
  void begin_step();
  /// Until the next begin_step() everything runs in evaluation mode; the caller switches gradients off.
  void begin_evaluation();
  /// Drops what is kept of the current batch.
  void forget() { pass_ = Pass{}; }

  /// Of the training step: 1 for the training pass, 1 for each partial subset asked for.
  [[nodiscard]] std::int64_t subsets_asked() const { return subsets_asked_; }
  /// Calls of fuse() since begin_step().
  [[nodiscard]] std::int64_t fuse_calls() const { return fuse_calls_; }
  /// Parameters and buffers by name ("encoder.m0.hidden.weight"), sharing storage with the network; last those of own
  /// modules ("own.head_m0.weight").
  [[nodiscard]] std::vector<std::pair<std::string, torch::Tensor>> named_tensors() const;
  /// `batch` with the inputs absent that row b's bits in `present` ([B] int64) do not show.
  [[nodiscard]] Batch masked(const Batch& batch, const torch::Tensor& present) const;
  /// All tensors in another precision.
  void convert(torch::Dtype dtype);

 private:
  /// The training (or evaluation) pass with every modality.
  struct Pass {
    torch::Tensor targets;                ///< the batch's, held so that no other can be taken for it
    std::vector<torch::Tensor> features;  ///< as the fusion takes them; undefined before it is asked for
    std::vector<torch::Tensor> pooled;    ///< the same, tokens as their mean
    FusionOutput output;
    std::vector<torch::Tensor> shares;
  };

  Pass& pass_of(const Batch& batch);
  const torch::Tensor& taken(const Batch& batch, int modality);
  /// Features of `input` in modality m's place, and of all `inputs`, as the fusion takes them.
  torch::Tensor encoded(const Batch& batch, std::size_t m, const torch::Tensor& input);
  std::vector<torch::Tensor> encoded(const Batch& batch, const std::vector<torch::Tensor>& inputs);
  FusionOutput fused(const Batch& batch, const std::vector<torch::Tensor>& features);
  FusionOutput& full(const Batch& batch);
  void set_mode(bool training);

  std::vector<std::string> names_;
  std::vector<std::shared_ptr<Encoder>> encoders_;
  std::shared_ptr<Fusion> fusion_;
  Task task_;
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> own_;  ///< the modulation's
  std::vector<RoleOf> roles_;  ///< every parameter once, in order
  torch::Dtype dtype_ = torch::kFloat;
  bool training_ = true;
  Pass pass_;
  std::int64_t subsets_asked_ = 0;
  std::int64_t fuse_calls_ = 0;
};

}  // namespace poise::reference
