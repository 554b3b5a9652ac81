#pragma once

#include <string>
#include <vector>

namespace poise {

/// The lines of metrics.jsonl as the file that TensorBoard reads (events.out.tfevents.*): every number but epoch
/// and step is a scalar at its step, named by its path ("validation_modality_accuracy/audio"). `finished`: when
/// the last epoch ended, in seconds since 1970; those before it are dated by their epoch_seconds.
std::string tensorboard_events(const std::vector<std::string>& metrics, double finished);

}  // namespace poise
