#include "pipeline/check.h"

#include <ostream>
#include <string>

#include <fmt/format.h>

#include "pipeline/best.h"

namespace poise {
namespace {

std::string versioned(const PluginName& plugin) { return plugin.name + " " + plugin.version; }

std::string encoders_text(const Cell& cell) {
  std::string text;
  for (std::size_t m = 0; m < cell.modalities.size(); ++m) {
    text += (m == 0 ? "" : ", ") + cell.modalities[m] + " by " + versioned(cell.plugins.encoders[m].name);
  }
  return text;
}

std::string training_text(const Cell& cell) {
  const int k = static_cast<int>(cell.modalities.size());
  const auto needs = cell.plugins.modulation.call([&](const Modulation& m) { return m.requirements(k); });
  const auto subsets = needs.subsets_per_step;
  const auto backward = needs.backward_passes_per_step;
  return fmt::format("{} {}, batches of {}, {}, {} {} of modalities and {} backward {} a step{}",
                     cell.train.epochs, cell.train.epochs == 1 ? "epoch" : "epochs", cell.train.batch_size,
                     cell.train.optimizer.name, subsets, subsets == 1 ? "subset" : "subsets", backward,
                     backward == 1 ? "pass" : "passes",
                     needs.extra_passes ? ", visits data beside the steps" : "");
}

/// The fusion, and that a method does without it.
std::string fusion_text(const Cell& cell) {
  const int k = static_cast<int>(cell.modalities.size());
  const bool unused =
      cell.plugins.modulation.call([&](const Modulation& m) { return m.requirements(k).replaces_fusion; });
  return versioned(cell.plugins.fusion.name) +
         (unused ? ", not used: " + cell.plugins.modulation.name.name + " predicts by modules of its own"
                 : "");
}

/// What a made-up data set allows, so that results can be judged.
std::string best_text(const Cell& cell) {
  const auto best = best_of(cell);
  if (!best) return "";
  std::string text = fmt::format("  at best     {:.1f} %", 100 * best->all);
  for (const auto& [modality, score] : best->modalities) {
    text += fmt::format(", {} alone {:.1f} %", modality, 100 * score);
  }
  return text + "\n";
}

}  // namespace

void describe(const Pipeline& pipeline, std::ostream& out) {
  for (const auto& cell : pipeline.cells) {
    out << cell.label.run << "\n  dataset     " << versioned(cell.plugins.dataset.name) << "\n  encoders    "
        << encoders_text(cell) << "\n  fusion      " << fusion_text(cell) << "\n  modulation  "
        << versioned(cell.plugins.modulation.name) << "\n  training    " << training_text(cell) << "\n"
        << best_text(cell);
  }
  const auto runs = pipeline.cells.size();
  out << runs << (runs == 1 ? " run" : " runs") << " can start.\n";
}

}  // namespace poise
