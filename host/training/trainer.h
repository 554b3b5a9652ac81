#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "poise/modulation.h"
#include "poise/trainer.h"
#include "training/data.h"
#include "training/network.h"
#include "training/optimizer.h"
#include "training/plugin_call.h"
#include "training/records.h"
#include "training/run.h"

namespace poise {

/// Where a run stands.
struct Position {
  std::int64_t epoch = 0;
  std::int64_t passes = 0;  ///< of this epoch; 0: the epoch has not begun
  std::int64_t pass = 0;
  std::int64_t batch = 0;    ///< of this pass
  std::int64_t batches = 0;  ///< of this pass; before the first: of a plain epoch
  std::int64_t step = 0;     ///< over all epochs
};

/// A model as it stood: its tensors by name, and the optimizer's state.
struct Snapshot {
  std::map<std::string, torch::Tensor> tensors;
  torch::Tensor optimizer;
};

/// The services of a run that its modulation sees, and the training step around it.
class HostTrainer final : public Trainer {
 public:
  /// Keeps references to all that outlives it: `network`, `request` and `data`. Without data there are steps alone.
  HostTrainer(FusedNetwork& network, Loaded<Modulation> modulation, const RunRequest& request,
              const Data* data);

  Network& network() override { return network_; }
  const Objective& objective() override { return *objective_; }
  Optimizer& optimizer() override { return optimizer_; }
  [[nodiscard]] std::int64_t epoch() const override { return position.epoch; }
  [[nodiscard]] std::int64_t epochs() const override { return request_.train.epochs; }
  [[nodiscard]] std::int64_t step() const override { return position.step; }
  [[nodiscard]] std::int64_t batch() const override { return position.batch; }
  [[nodiscard]] std::int64_t batches() const override { return position.batches; }
  void backward(const torch::Tensor& loss) override;
  std::vector<torch::Tensor> gradients(const torch::Tensor& loss,
                                       const std::vector<torch::Tensor>& parameters) override;
  void record(const std::string& name, const torch::Tensor& value) override;

  void add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) override;
  [[nodiscard]] std::int64_t samples(Split split) const override;
  void for_each_batch(Split split, const torch::Tensor& ids,
                      const std::function<bool(const Batch&)>& see) override;
  Probe probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss) override;
  torch::Tensor teacher_feature(const Batch& batch, int modality) override;
  void snapshot(const std::string& name) override;
  void restore(const std::string& name) override;
  void stop() override { stopped = true; }

  /// One training step of the modulation on `batch`. Does not advance `position`.
  void train_step(const Batch& batch);
  HostOptimizer& host_optimizer() { return optimizer_; }
  EpochRecords& records() { return records_; }
  [[nodiscard]] std::int64_t& backward_passes() { return backward_passes_; }
  /// Samples that were shown outside the training steps.
  [[nodiscard]] std::int64_t& extra_samples() { return extra_samples_; }
  /// Time of the training steps outside encoders, fusion, backward passes and updates: the objective and the
  /// modulation's own algebra. On a GPU that of its calls.
  [[nodiscard]] double& method_seconds() { return method_seconds_; }
  std::map<std::string, Snapshot>& snapshots() { return snapshots_; }

  Position position;
  bool stopped = false;
  /// Of each modality, a network of it alone in evaluation mode; empty where no teachers are needed.
  std::vector<std::unique_ptr<FusedNetwork>> teachers;

 private:
  /// Spent so far in what is not the modulation's own.
  double model_seconds();
  [[noreturn]] void not_finite(const std::string& what, std::int64_t step);
  /// Throws Error inside a step, and where there is no data.
  const Data& data_outside_steps() const;
  double mean_loss(Split split, const std::function<torch::Tensor(const Batch&)>& loss);
  void train_probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss);

  FusedNetwork& network_;
  Loaded<Modulation> modulation_;
  std::unique_ptr<Objective> objective_;
  const RunRequest& request_;
  const Data* data_;
  HostOptimizer optimizer_;
  EpochRecords records_;
  const Batch* batch_ = nullptr;  ///< of the step in progress
  std::int64_t backward_passes_ = 0;
  std::int64_t extra_samples_ = 0;
  double backward_seconds_ = 0;
  double method_seconds_ = 0;
  std::map<std::string, Snapshot> snapshots_;
};

/// Names of the records that the host keeps itself.
inline constexpr const char* train_loss_record = "train_loss";
inline constexpr const char* train_accuracy_record = "train_accuracy";

}  // namespace poise
