#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "training/evaluation.h"
#include "training/trainer.h"

namespace poise {

/// {"audio": 0.9, "image": 0.8}: one value per modality, by name.
nlohmann::json by_modality(const FusedNetwork& network, const std::vector<double>& values);

/// {"accuracy", "loss", "modality_accuracy"} of a split.
nlohmann::json as_json(const FusedNetwork& network, const Score& score);

/// The line of metrics.jsonl of the epoch that has just been trained and validated.
std::string metrics_line(const FusedNetwork& network, HostTrainer& trainer, const Score& validation,
                         double epoch_seconds);

}  // namespace poise
