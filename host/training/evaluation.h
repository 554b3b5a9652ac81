#pragma once

#include <vector>

#include "training/batches.h"
#include "training/network.h"
#include "training/trainer.h"

namespace poise {

/// How well a model does on a split.
struct Score {
  double loss = 0;
  double accuracy = 0;
  std::vector<double> modality_accuracy;  ///< of the masked logits: only that modality shown
};

/// Scores every sample of the split once, in evaluation mode and without gradients, leaving the default
/// generator and the training state as they were.
Score evaluate(FusedNetwork& network, const Loaded<Modulation>& modulation, HostTrainer& trainer,
               BatchStream::Source source);

}  // namespace poise
