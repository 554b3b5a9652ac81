#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "training/checkpoint.h"
#include "training/run.h"
#include "training/trainer.h"

namespace poise {

/// The weights of a run's best epoch, from its folder into the network.
void load_weights(FusedNetwork& network, const std::filesystem::path& folder);

/// What a run knows beside its network and trainer, and the way of all of it into a checkpoint and back.
class RunState {
 public:
  /// `started`: of this process' part of the run, on now()'s clock.
  RunState(FusedNetwork& network, HostTrainer& trainer, const Loaded<Modulation>& modulation,
           const RunRequest& request, double started);

  [[nodiscard]] Checkpoint checkpoint();
  /// In two parts, around the modulation's begin().
  void restore_scalars(const Checkpoint& checkpoint);
  void restore_tensors(const Checkpoint& checkpoint);

  /// Keeps the weights as weights.safetensors if this epoch is the best so far: by the main metric, ties by loss.
  void keep_best(double score, double loss, const nlohmann::json& validation);
  /// metrics.jsonl, and the same for TensorBoard, as a whole, so that a resumed run's is an uninterrupted one's.
  void write_metrics() const;
  /// Of all processes of this run so far.
  [[nodiscard]] double total_seconds() const;

  Plan plan;                         ///< of the pass in progress
  std::vector<std::string> metrics;  ///< a line an epoch
  std::int64_t best_epoch = 0;       ///< from 1; 0: none yet
  nlohmann::json best_validation;
  double train_seconds = 0;

 private:
  void restore_snapshots(const Checkpoint& checkpoint);

  FusedNetwork& network_;
  HostTrainer& trainer_;
  const Loaded<Modulation>& modulation_;
  const RunRequest& request_;
  double best_score_ = 0;
  double best_loss_ = 0;
  double started_;
  double earlier_seconds_ = 0;  ///< total_seconds() of the earlier processes
};

}  // namespace poise
