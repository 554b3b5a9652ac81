#pragma once

#include <vector>

#include "analysis/scores.h"
#include "training/batches.h"
#include "training/network.h"
#include "training/trainer.h"

namespace poise {

/// How well a model does on a split.
struct Score {
  double loss = 0;
  Metrics metrics;               ///< the main one first
  std::vector<double> modality;  ///< the main metric of the masked logits: only that modality shown

  [[nodiscard]] double main() const { return metrics.front().second; }
};

/// Scores every sample of the split once, in evaluation mode and without gradients, leaving the default
/// generator and the training state as they were.
Score evaluate(FusedNetwork& network, const Loaded<Modulation>& modulation, HostTrainer& trainer,
               BatchStream::Source source);

}  // namespace poise
