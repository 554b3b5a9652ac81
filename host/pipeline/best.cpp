#include "pipeline/best.h"

#include "poise/ceiling.h"

namespace poise {

std::optional<Best> best_of(const Cell& cell) {
  return cell.plugins.dataset.call([&](const Dataset& dataset) -> std::optional<Best> {
    const auto* ceiling = dynamic_cast<const Ceiling*>(&dataset);
    if (ceiling == nullptr) return std::nullopt;
    Best best;
    Subset all;
    for (std::size_t m = 0; m < cell.modalities.size(); ++m) {
      const Subset one = Subset::only(cell.plugins.modalities[m]);
      all.bits |= one.bits;
      best.modalities.emplace_back(cell.modalities[m], ceiling->best(one));
    }
    best.all = ceiling->best(all);
    return best;
  });
}

}  // namespace poise
