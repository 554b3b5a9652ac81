#pragma once

// Runs for tests, in memory and in folders, with figures that are easy to check on paper.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "poise/files.h"
#include "poise/testing_folder.h"
#include "report/summary.h"

namespace poise::testing {

/// What reading a run's folder gives, as far as the comparison of methods looks at it.
inline RunResult run(const std::string& group, std::int64_t seed, double accuracy,
                     const std::map<std::string, double>& modality_accuracy, const std::string& alone = "",
                     const std::string& fusion = "concat") {
  RunResult result;
  result.group = group;
  result.modulation = group.starts_with("agm") ? "agm" : "joint";
  result.fusion = fusion;
  result.alone = alone;
  result.seed = seed;
  result.test.score = accuracy;
  result.test.modality_score = modality_accuracy;
  return result;
}

/// A result.json as training writes it: two modalities, or the one that is `alone`.
inline nlohmann::json result(const std::string& group, std::int64_t seed, double accuracy,
                             const std::map<std::string, double>& modality_accuracy,
                             const std::string& alone = "") {
  const std::string label = group + " seed=" + std::to_string(seed);
  std::map<std::string, double> encoder_passes;
  std::vector<std::string> modalities;
  for (const auto& [modality, value] : modality_accuracy) {
    encoder_passes[modality] = 1;
    modalities.push_back(modality);
  }
  const nlohmann::json split = {
      {"accuracy", accuracy}, {"loss", 0.25}, {"modality_accuracy", modality_accuracy}};
  return {{"label", label},
          {"group", group},
          {"modulation", group.starts_with("agm") ? "agm" : "joint"},
          {"fusion", "concat"},
          {"seed", seed},
          {"hash", sha256(label)},
          {"metric", "accuracy"},
          {"title", "Spoken and written digits"},
          {"modalities", modalities},
          {"alone", alone},
          {"parameters", 123},
          {"epochs", 2},
          {"best_epoch", 2},
          {"validation", split},
          {"test", split},
          {"cost",
           {{"steps", 180},
            {"encoder_rows", 11520},
            {"encoder_passes_per_step", encoder_passes},
            {"fusion_passes_per_step", 1.0},
            {"backward_passes_per_step", 1.0},
            {"train_seconds", 12.5},
            {"total_seconds", 14.0},
            {"peak_memory_mib", 512}}},
          {"provenance", {{"poise", "0.1.0"}, {"torch", "2.11.0"}}}};
}

inline const char* const metrics =
    R"({"epoch":1,"train_loss":1.5,"validation_accuracy":0.5,"validation_modality_accuracy":{"audio":0.3,"image":0.4},"recorded":{"kappa":{"audio":1.1,"image":0.9},"head_clip":0.1}}
{"epoch":2,"train_loss":0.75,"validation_accuracy":0.9,"validation_modality_accuracy":{"audio":0.4,"image":0.8},"recorded":{"kappa":{"audio":1.2,"image":0.8},"head_clip":0.2}}
)";

inline void write_run(const std::filesystem::path& folder, const nlohmann::json& result) {
  std::filesystem::create_directories(folder);
  write_file(folder / "config.toml", "");
  write_file(folder / "metrics.jsonl", metrics);
  write_file(folder / "result.json", result.dump());
}

/// Joint training that starves audio (53 points behind audio alone), AGM 4 points better, and each modality
/// alone; two seeds each.
inline void write_comparison(const std::filesystem::path& folder) {
  write_run(folder / "joint_0", result("joint", 0, 0.90, {{"audio", 0.40}, {"image", 0.88}}));
  write_run(folder / "joint_1", result("joint", 1, 0.92, {{"audio", 0.44}, {"image", 0.90}}));
  write_run(folder / "agm_0", result("agm alpha=1.5", 0, 0.93, {{"audio", 0.70}, {"image", 0.88}}));
  write_run(folder / "agm_1", result("agm alpha=1.5", 1, 0.97, {{"audio", 0.80}, {"image", 0.90}}));
  write_run(folder / "audio_0", result("audio alone", 0, 0.94, {{"audio", 0.94}}, "audio"));
  write_run(folder / "audio_1", result("audio alone", 1, 0.96, {{"audio", 0.96}}, "audio"));
  write_run(folder / "image_0", result("image alone", 0, 0.91, {{"image", 0.91}}, "image"));
  write_run(folder / "image_1", result("image alone", 1, 0.89, {{"image", 0.89}}, "image"));
}

}  // namespace poise::testing
