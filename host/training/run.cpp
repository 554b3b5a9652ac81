#include "training/run.h"

#include <atomic>

#include "poise/error.h"
#include "poise/intermediate.h"
#include "training/run_loop.h"

namespace poise {
namespace {

std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

void check_stages(const RunPlugins& plugins) {
  if (dynamic_cast<const IntermediateFusion*>(plugins.fusion.object.get()) == nullptr) return;
  for (const auto& encoder : plugins.encoders) {
    if (dynamic_cast<const StagedEncoder*>(encoder.object.get()) != nullptr) continue;
    throw Error("fusion " + plugins.fusion.name.name + " acts between the stages of encoders, and encoder " +
                    encoder.name.name + " has none: choose one that runs in stages.",
                Fault::usage);
  }
}

}  // namespace

void request_stop() { stop_asked = true; }
bool stop_requested() { return stop_asked; }

bool is_finished(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "result.json");
}

void check_requirements(const RunPlugins& plugins) {
  const int k = static_cast<int>(plugins.modalities.size());
  const std::string who = "modulation " + plugins.modulation.name.name;
  if (k < 1 || k > max_modalities) {
    throw Error(
        "a run needs 1 to " + std::to_string(max_modalities) + " modalities, not " + std::to_string(k) + ".",
        Fault::usage);
  }
  check_stages(plugins);
  const auto needs = plugins.modulation.call([&](const Modulation& m) { return m.requirements(k); });
  if (k < needs.min_modalities || k > needs.max_modalities) {
    const std::string wanted = needs.min_modalities == needs.max_modalities
                                   ? "exactly " + std::to_string(needs.min_modalities)
                               : k < needs.min_modalities ? "at least " + std::to_string(needs.min_modalities)
                                                          : "at most " + std::to_string(needs.max_modalities);
    throw Error(who + " needs " + wanted + " modalities, and this run has " + std::to_string(k) + ".",
                Fault::usage);
  }
  if (needs.additive_fusion && !plugins.fusion.object->additive()) {
    throw Error(
        who + " needs an additive fusion (logits that are a sum of one share per modality), and fusion " +
            plugins.fusion.name.name + " is not additive.",
        Fault::usage);
  }
}

Outcome train(const RunRequest& request, const RunPlugins& plugins, Progress& progress) {
  check_requirements(plugins);
  return run_loop(request, plugins, progress);
}

}  // namespace poise
