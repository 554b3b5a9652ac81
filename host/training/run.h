#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "poise/dataset.h"
#include "poise/encoder.h"
#include "poise/fusion.h"
#include "poise/modulation.h"
#include "training/plugin_call.h"
#include "training/progress.h"
#include "training/settings.h"

namespace poise {

/// The plugins of one run, constructed from their options and not yet built. `modalities` are the indices into
/// the dataset's modalities that this run uses; `encoders` stand in the same order.
struct RunPlugins {
  Loaded<Dataset> dataset;
  std::vector<int> modalities;
  std::vector<Loaded<Encoder>> encoders;
  Loaded<Fusion> fusion;
  Loaded<Modulation> modulation;
};

/// A finished run that trained one modality alone, and plugins to build its network from.
struct Teacher {
  std::filesystem::path folder;
  std::shared_ptr<const RunPlugins> plugins;
};

/// All that decides a run, beside its plugins.
struct RunRequest {
  std::filesystem::path folder;  ///< exists, and is locked for this run
  std::string label;             ///< for progress lines: "agm alpha=1.5 seed=0"
  TrainSettings train;
  std::uint64_t seed = 0;
  std::string device = "cpu";  ///< "cpu" or "cuda:N", already resolved
  /// Written into result.json as it is, beside what the run adds: names, hash, provenance.
  nlohmann::json identity;
  std::vector<Teacher> teachers;  ///< per modality, where the modulation needs them; else empty
};

enum class Outcome {
  finished,
  interrupted,  ///< Ctrl-C: a checkpoint was written, the same call goes on from there
};

/// Throws Error (usage) when the plugins do not fit together: number of modalities, and what the modulation requires
/// of the fusion and the task. Reads no data.
void check_requirements(const RunPlugins& plugins);

/// Trains and evaluates one run in its folder, resuming from the checkpoint that is there. Writes
/// metrics.jsonl, checkpoints, weights.safetensors and, last, result.json: a folder that has it is finished.
/// Throws Error; what is in the folder then still serves a later call.
Outcome train(const RunRequest& request, const RunPlugins& plugins, Progress& progress);

/// True when the folder holds the result of a finished run.
bool is_finished(const std::filesystem::path& folder);

/// Asked by Ctrl-C (set from a signal handler): the run in progress ends after its step.
void request_stop();
bool stop_requested();

}  // namespace poise
