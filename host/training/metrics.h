#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "training/evaluation.h"
#include "training/trainer.h"

namespace poise {

/// {"audio": 0.9, "image": 0.8}: one value per modality, by name.
nlohmann::json by_modality(const FusedNetwork& network, const std::vector<double>& values);

/// {"loss", "accuracy", "macro_f1", ..., "modality_accuracy"} of a split: the task's metrics by name, and of each
/// modality the main one.
nlohmann::json as_json(const FusedNetwork& network, const Score& score);

/// The line of metrics.jsonl of the epoch that has just been trained and validated.
std::string metrics_line(const FusedNetwork& network, HostTrainer& trainer, const Score& validation,
                         double epoch_seconds);

}  // namespace poise
