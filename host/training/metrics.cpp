#include "training/metrics.h"

namespace poise {

nlohmann::json by_modality(const FusedNetwork& network, const std::vector<double>& values) {
  auto result = nlohmann::json::object();
  for (std::size_t m = 0; m < values.size(); ++m) {
    result[network.modality_name(static_cast<int>(m))] = values[m];
  }
  return result;
}

nlohmann::json as_json(const FusedNetwork& network, const Score& score) {
  nlohmann::json result = {{"loss", score.loss}};
  for (const auto& [name, value] : score.metrics) result[name] = value;
  result["modality_" + score.metrics.front().first] = by_modality(network, score.modality);
  return result;
}

std::string metrics_line(const FusedNetwork& network, HostTrainer& trainer, const Score& validation,
                         double epoch_seconds) {
  const auto& records = trainer.records();
  nlohmann::ordered_json line;
  line["epoch"] = trainer.position.epoch + 1;
  line["step"] = trainer.position.step;
  line["lr"] = trainer.host_optimizer().rate();
  line["train_loss"] = records.mean(train_loss_record).at(0);
  if (const auto accuracy = records.mean(train_accuracy_record); !accuracy.empty()) {
    line["train_accuracy"] = accuracy[0];
  }
  const nlohmann::json scores = as_json(network, validation);
  for (const auto& [name, value] : scores.items()) line["validation_" + name] = value;
  auto& recorded = line["recorded"] = nlohmann::ordered_json::object();
  for (const auto& name : records.names()) {
    if (name == train_loss_record || name == train_accuracy_record) continue;
    const auto mean = records.mean(name);
    const bool per_modality = static_cast<int>(mean.size()) == network.modalities() && mean.size() > 1;
    recorded[name] = per_modality ? by_modality(network, mean) : nlohmann::json(mean.at(0));
  }
  line["epoch_seconds"] = epoch_seconds;
  return line.dump();
}

}  // namespace poise
