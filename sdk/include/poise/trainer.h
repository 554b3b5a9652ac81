#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/dataset.h"
#include "poise/network.h"
#include "poise/objective.h"
#include "poise/optimizer.h"

namespace poise {

/// What a probe learnt: mean losses over the samples of a split, before and after it trained.
struct Probe {
  double train_before = 0;
  double validation_before = 0;
  double train_after = 0;
  double validation_after = 0;
};

/// The run as a modulation sees it. Implemented by the host; valid during the hook that receives it. The
/// default generator is seeded and checkpointed by the host: draw from it, never seed it.
class Trainer {
 public:
  virtual ~Trainer();

  virtual Network& network() = 0;
  virtual const Objective& objective() = 0;
  virtual Optimizer& optimizer() = 0;

  /// The epoch in progress, from 0, and how many there will be.
  [[nodiscard]] virtual std::int64_t epoch() const = 0;
  [[nodiscard]] virtual std::int64_t epochs() const = 0;
  /// Updates begun before this one, over all epochs.
  [[nodiscard]] virtual std::int64_t step() const = 0;
  /// The batch in progress of this pass over the data, from 0, and how many the pass has.
  [[nodiscard]] virtual std::int64_t batch() const = 0;
  [[nodiscard]] virtual std::int64_t batches() const = 0;

  /// Drops the old gradients and differentiates `loss`, which is counted and logged as the step's.
  virtual void backward(const torch::Tensor& loss) = 0;
  /// The gradient of `loss` for each of `parameters`, zeros where it does not depend on one. Counted as a backward
  /// pass; keeps the graph and leaves the parameters' own gradients alone.
  virtual std::vector<torch::Tensor> gradients(const torch::Tensor& loss,
                                               const std::vector<torch::Tensor>& parameters) = 0;
  /// Logs the mean over the epoch of a value: a scalar, or [k] with one per modality. Kept on its device until
  /// the epoch ends, so that nothing waits.
  virtual void record(const std::string& name, const torch::Tensor& value) = 0;

  /// Takes a module of the modulation's own into the run, in begin() or later: on the device, in training or
  /// evaluation mode with the network, its parameters with Role::own (and `modalities`, where it serves them alone)
  /// and updated by the optimizer, its tensors in checkpoints and in the best epoch's weights. After a resume
  /// begin() must have added the same modules again, in the same order; their values come from the checkpoint.
  virtual void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                          const std::vector<int>& modalities = {}) = 0;

  // The following visit data outside the training steps: in begin(), begin_epoch(), plan() and end_epoch(). The test
  // split is refused. The host counts them as extra passes over the data. They leave the default generator, the
  // buffers and the mode as they found them.

  /// How many samples a split has.
  [[nodiscard]] virtual std::int64_t samples(Split split) const = 0;
  /// Shows the samples `ids` ([N] int64; undefined: all, in order) batch by batch, in evaluation mode and without
  /// gradients, until `see` returns false.
  virtual void for_each_batch(Split split, const torch::Tensor& ids,
                              const std::function<bool(const Batch&)>& see) = 0;
  /// Trains the model from where it stands for `epochs` by `loss` (a mean over the batch) with a fresh optimizer of
  /// [train] at the rate of the moment and without hooks, then puts everything back. Losses before and after are
  /// measured in evaluation mode.
  virtual Probe probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss) = 0;

  /// Features [B, width(m)] of the same encoder, trained on modality m alone by [train], for the batch in hand: without
  /// gradients, in evaluation mode. Needs Requirements::teachers.
  virtual torch::Tensor teacher_feature(const Batch& batch, int modality) = 0;

  /// Keeps all parameters, buffers and the optimizer's state as they are, under a name; the host keeps it in the
  /// checkpoints.
  virtual void snapshot(const std::string& name) = 0;
  /// Brings them back; the modules must be those of that time. What is frozen, rate factors and generators stay as they are.
  virtual void restore(const std::string& name) = 0;

  /// Ends the training after this epoch.
  virtual void stop() = 0;
};

}  // namespace poise
