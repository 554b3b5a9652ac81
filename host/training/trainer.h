#pragma once

#include <memory>
#include <string>

#include "poise/modulation.h"
#include "poise/trainer.h"
#include "training/network.h"
#include "training/optimizer.h"
#include "training/plugin_call.h"
#include "training/records.h"
#include "training/settings.h"

namespace poise {

/// Where a run stands.
struct Position {
  std::int64_t epoch = 0;
  std::int64_t passes = 0;  ///< of this epoch; 0: the epoch has not begun
  std::int64_t pass = 0;
  std::int64_t batch = 0;  ///< of this pass
  std::int64_t step = 0;   ///< over all epochs
};

/// The services of a run that its modulation sees, and the training step around it.
class HostTrainer final : public Trainer {
 public:
  /// Keeps references: `network` outlives it.
  HostTrainer(FusedNetwork& network, Loaded<Modulation> modulation, const TrainSettings& settings);

  Network& network() override { return network_; }
  const Objective& objective() override { return *objective_; }
  Optimizer& optimizer() override { return optimizer_; }
  [[nodiscard]] std::int64_t epoch() const override { return position.epoch; }
  [[nodiscard]] std::int64_t epochs() const override { return epochs_; }
  [[nodiscard]] std::int64_t step() const override { return position.step; }
  void backward(const torch::Tensor& loss) override;
  void record(const std::string& name, const torch::Tensor& value) override;

  /// One training step of the modulation on `batch`. Does not advance `position`.
  void train_step(const Batch& batch);
  HostOptimizer& host_optimizer() { return optimizer_; }
  EpochRecords& records() { return records_; }
  [[nodiscard]] std::int64_t& backward_passes() { return backward_passes_; }

  Position position;

 private:
  [[noreturn]] void not_finite(const std::string& what, std::int64_t step);

  FusedNetwork& network_;
  Loaded<Modulation> modulation_;
  std::unique_ptr<Objective> objective_;
  std::int64_t epochs_;
  HostOptimizer optimizer_;
  EpochRecords records_;
  const Batch* batch_ = nullptr;  ///< of the step in progress
  std::int64_t backward_passes_ = 0;
};

/// Names of the records that the host keeps itself.
inline constexpr const char* train_loss_record = "train_loss";
inline constexpr const char* train_accuracy_record = "train_accuracy";

}  // namespace poise
