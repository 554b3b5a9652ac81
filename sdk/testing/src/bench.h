#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "poise/modulation.h"
#include "poise/reference_trainer.h"
#include "small_models.h"

namespace poise::reference {

/// A modulation that trains a small network, driven as the host does it.
class Bench {
 public:
  /// Network and data are made from the seed, and what the modulation draws comes from the default generator, seeded
  /// with it. begin() is the caller's.
  Bench(const Design& design, std::shared_ptr<Modulation> given, std::uint64_t seed,
        std::int64_t samples = 16);
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void begin();
  /// One training step and the epoch's hooks around it where they are due. An epoch has two steps, unless the
  /// modulation plans it differently. Nothing once the modulation has stopped the training.
  void train();
  /// The training step alone.
  void step(const Batch& batch);

  /// All that a run needs to go on, as the host keeps it.
  struct Saved {
    Checkpoint modulation;
    Snapshot model;
    std::vector<Optimizer::Part> parts;  ///< for rate factors and what is frozen
    std::map<std::string, Snapshot> snapshots;
    bool stopped = false;
    torch::Tensor generator;
    std::vector<Batch> batches;
    std::int64_t batch = 0;
    std::int64_t pass_batches = 0;
    std::int64_t pass = 0;
    std::int64_t passes = 0;
    std::int64_t epoch = 0;
    std::int64_t step = 0;
  };
  Saved save();
  /// In place of begin().
  void resume(Saved saved);

  /// Parameters and buffers take the values of `other`'s, which may have more modules of a modulation's own.
  void copy_weights(const Bench& other);
  /// The first parameter, gradient or buffer whose bits are not `other`'s; empty when all are the same. Modules that
  /// `other` has not are passed over.
  [[nodiscard]] std::string differs_from(const Bench& other) const;
  /// The first parameter or gradient that is not finite; empty when all are.
  [[nodiscard]] std::string not_finite() const;

  Network network;
  Trainer trainer;
  std::shared_ptr<Modulation> modulation;
  std::int64_t subsets_asked = 0;    ///< in the last step
  std::int64_t backward_passes = 0;  ///< in the last step

 private:
  std::vector<Batch> planned();
  [[nodiscard]] std::int64_t plain_batches() const;

  std::vector<Batch> batches_;  ///< of the pass in progress
  std::int64_t pass_ = 0;
  std::int64_t passes_ = 0;  ///< of this epoch; 0: it has not begun
};

}  // namespace poise::reference
