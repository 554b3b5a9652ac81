#include "training/run.h"

#include <atomic>

#include "poise/error.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"
#include "training/run_loop.h"

namespace poise {
namespace {

std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

bool acts_inside(const RunPlugins& plugins) {
  return dynamic_cast<const IntermediateFusion*>(plugins.fusion.object.get()) != nullptr;
}

void check_stages(const RunPlugins& plugins) {
  if (!acts_inside(plugins)) return;
  for (const auto& encoder : plugins.encoders) {
    if (dynamic_cast<const StagedEncoder*>(encoder.object.get()) != nullptr) continue;
    throw Error("fusion " + plugins.fusion.name.name + " acts between the stages of encoders, and encoder " +
                    encoder.name.name + " has none: choose one that runs in stages.",
                Fault::usage);
  }
}

void check_number(const Requirements& needs, int k, const std::string& who) {
  if (k >= needs.min_modalities && k <= needs.max_modalities) return;
  const std::string wanted = needs.min_modalities == needs.max_modalities
                                 ? "exactly " + std::to_string(needs.min_modalities)
                             : k < needs.min_modalities ? "at least " + std::to_string(needs.min_modalities)
                                                        : "at most " + std::to_string(needs.max_modalities);
  throw Error(who + " needs " + wanted + " modalities, and this run has " + std::to_string(k) + ".",
              Fault::usage);
}

void check_fusion(const Requirements& needs, const RunPlugins& plugins, const std::string& who) {
  const std::string fusion = "fusion " + plugins.fusion.name.name;
  if (needs.additive_fusion && !plugins.fusion.object->additive()) {
    throw Error(who + " needs an additive fusion (logits that are a sum of one share per modality), and " +
                    fusion + " is not additive.",
                Fault::usage);
  }
  if (needs.gate_switch && dynamic_cast<const GateSwitch*>(plugins.fusion.object.get()) == nullptr) {
    throw Error(
        who + " needs a fusion whose modalities gate each other, and " + fusion + " has no such gates.",
        Fault::usage);
  }
  if ((needs.late_fusion || needs.replaces_fusion) && acts_inside(plugins)) {
    throw Error(who + " needs a fusion that follows the encoders, and " + fusion +
                    " acts between their stages: choose one that takes their features.",
                Fault::usage);
  }
}

void check_task(const Requirements& needs, const RunPlugins& plugins, const std::string& who) {
  const auto task = plugins.dataset.call([](const Dataset& dataset) { return dataset.task(); });
  if (!needs.classification || task.kind == TaskKind::classification) return;
  throw Error(who + " needs targets that are classes, and those of dataset " + plugins.dataset.name.name +
                  " are " +
                  (task.kind == TaskKind::regression ? "numbers" : "labels that may hold together") +
                  ": choose data of a classification task, or another modulation.",
              Fault::usage);
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
  check_number(needs, k, who);
  check_fusion(needs, plugins, who);
  check_task(needs, plugins, who);
}

Outcome train(const RunRequest& request, const RunPlugins& plugins, Progress& progress) {
  check_requirements(plugins);
  return run_loop(request, plugins, progress);
}

}  // namespace poise
