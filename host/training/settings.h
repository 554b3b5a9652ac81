#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "poise/config.h"

namespace poise {

/// `[train]` of a pipeline.
struct TrainSettings {
  std::int64_t epochs;
  std::int64_t batch_size;
  std::int64_t loader_threads;
  double clip;  ///< L2 norm of all gradients; 0: none

  struct Optimizer {
    std::string name;  ///< "sgd", "adam", "adamw"
    double lr;
    double momentum;
    bool nesterov;
    double weight_decay;
    double beta1;
    double beta2;
    double epsilon;
  } optimizer;

  struct Schedule {
    std::string name;  ///< "constant", "step", "cosine"
    std::int64_t warmup_epochs;
    std::int64_t step_epochs;
    double factor;
  } schedule;

  /// Reads and checks the table; does not call finish().
  static TrainSettings read(Config& config);
};

}  // namespace poise
