#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "poise/batch.h"
#include "poise/state.h"
#include "poise/subset.h"
#include "poise/trainer.h"

namespace poise {

/// What a modulation needs, declared before any data is read; a pipeline that does not give it is refused.
struct Requirements {
  int min_modalities = 1;
  int max_modalities = poise::max_modalities;
  bool additive_fusion = false;
  /// A fusion that follows the encoders, and does not act inside them.
  bool late_fusion = false;
  /// A fusion that has the ability poise::GateSwitch.
  bool gate_switch = false;
  /// Predicts from the encoders' features by modules of its own: the pipeline's fusion is neither used nor trained.
  /// Needs a late fusion, too.
  bool replaces_fusion = false;
  /// Targets that are classes.
  bool classification = false;
  /// Uses Trainer::teacher_feature(): the host trains each modality alone first.
  bool teachers = false;
  /// Swapping the modalities, their weights and options swaps what the method does. False for a method that is
  /// ordered or random in its modalities.
  bool symmetric = true;
  /// How many subsets of modalities a training step asks logits for (1: the full set alone).
  std::int64_t subsets_per_step = 1;
  /// How often a training step calls backward() or gradients(), at most.
  std::int64_t backward_passes_per_step = 1;
  /// Visits data outside the training steps, by Trainer::for_each_batch() or probe().
  bool extra_passes = false;
};

/// An epoch's samples in order, instead of the host's shuffle. Repeats and omissions are allowed.
struct Plan {
  torch::Tensor ids;  ///< [N] int64, train ids
  torch::Tensor
      present;  ///< [N] int64, bits of a Subset: the *inputs* of the others are absent; undefined: all
  torch::Tensor weights;  ///< [N] float32, factor of each sample's loss; undefined: all 1
};

/// Interface poise.modulation/1: rebalances the modalities while the model trains. Every hook has a default,
/// so that plain joint training is the empty class. The constructor reads options and nothing else; all hooks
/// are called from one thread.
class Modulation {
 public:
  Modulation() = default;
  Modulation(const Modulation&) = delete;
  Modulation& operator=(const Modulation&) = delete;
  virtual ~Modulation();

  [[nodiscard]] virtual Requirements requirements(int modalities) const;
  /// Options (TOML lines) with which every gradient is joint training's, bit for bit; nothing where there are none.
  [[nodiscard]] virtual std::optional<std::string> neutral_options() const;

  /// Once, before the first step, or after a resume (then the scalars of visit() are set before, its tensors
  /// after).
  virtual void begin(Trainer& trainer);
  virtual void begin_epoch(Trainer& trainer);
  virtual void end_epoch(Trainer& trainer);

  /// How often the epoch visits the data.
  virtual std::int64_t passes(Trainer& trainer);
  /// The epoch's samples; nothing: the host shuffles. Asked for once per pass and checkpointed.
  virtual std::optional<Plan> plan(Trainer& trainer);

  /// The scalar to differentiate; default: the objective of the full logits.
  virtual torch::Tensor loss(const Batch& batch, Trainer& trainer);
  /// Between backward and the update: rewrite gradients by role and modality, then the method's own clip.
  virtual void modulate(const Batch& batch, Trainer& trainer);
  /// The whole training step; default: loss, backward, modulate, update. Override where one backward and one
  /// update is not what the method does.
  virtual void step(const Batch& batch, Trainer& trainer);

  /// Logits of each subset in an evaluation, [S, B, C]. Override where inference differs; obey the subsets.
  virtual torch::Tensor predict(const Batch& batch, const std::vector<Subset>& subsets, Trainer& trainer);
  /// The multi-modal feature in an evaluation, [B, d]; undefined where the method has none.
  virtual torch::Tensor feature(const Batch& batch, Trainer& trainer);

  /// All state that must survive a restart, beside network and optimizer.
  virtual void visit(State& state);
};

}  // namespace poise
