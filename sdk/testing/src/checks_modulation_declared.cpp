// What a modulation declares that it needs and costs, on small networks of its own.
#include <cstdint>

#include "accepted_designs.h"

namespace poise::conformance {
namespace {

using reference::Bench;
using reference::Design;

/// What `needs` for k modalities has that cannot be, as a sentence; empty where there is nothing.
std::string nonsense_in(const Requirements& needs, int k) {
  const int least = needs.min_modalities;
  const int most = needs.max_modalities;
  if (least < 1 || least > most || most > max_modalities) {
    return text("it declares a range of ", least, " to ", most);
  }
  if (needs.replaces_fusion && (needs.additive_fusion || needs.gate_switch)) {
    return "it replaces the fusion, and yet declares what it needs of it";
  }
  if (k < least || k > most) return "";
  const std::int64_t subsets = (std::int64_t{1} << k) - 1;
  if (needs.subsets_per_step < 1 || needs.subsets_per_step > subsets) {
    return text("it declares ", needs.subsets_per_step, " subsets a step");
  }
  if (needs.backward_passes_per_step < 1) {
    return text("it declares ", needs.backward_passes_per_step, " backward passes a step");
  }
  return "";
}

Finding extra_passes_as_declared(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  if (bench.modulation->requirements(design.modalities).extra_passes) {
    return skipped("it declares that it visits data outside the training steps");
  }
  bench.begin();
  for (int step = 0; step < 6; ++step) {
    bench.train();
    if (bench.trainer.extra_samples == 0) continue;
    return failed(text("by step ", step + 1, " it has visited ", bench.trainer.extra_samples,
                       " samples outside the training steps, and declares no such passes"));
  }
  return passed();
}

Finding requirements_make_sense(const Subject& subject) {
  const auto modulation = make<Modulation>(subject);
  for (int k = 1; k <= 4; ++k) {
    const auto nonsense = nonsense_in(modulation->requirements(k), k);
    if (!nonsense.empty()) return failed(text("for ", k, " modalities ", nonsense));
  }
  return passed();
}

Finding takes_a_network(const Subject& subject) {
  std::string why_not = "it declares no case of one to three modalities";
  return accepted_designs(subject, "", &why_not).empty() ? failed(why_not) : passed();
}

Finding subsets_as_declared(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  const auto declared = bench.modulation->requirements(design.modalities).subsets_per_step;
  bench.begin();
  for (int step = 0; step < 6; ++step) {
    bench.train();
    if (bench.subsets_asked <= declared) continue;
    return failed(text("in step ", step + 1, " it asks for ", bench.subsets_asked, " subsets, and declares ",
                       declared));
  }
  return passed();
}

Finding backward_passes_as_declared(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  const auto declared = bench.modulation->requirements(design.modalities).backward_passes_per_step;
  bench.begin();
  for (int step = 0; step < 6; ++step) {
    bench.train();
    if (bench.backward_passes <= declared) continue;
    return failed(text("in step ", step + 1, " it makes ", bench.backward_passes,
                       " backward passes, and declares ", declared));
  }
  return passed();
}

}  // namespace

std::vector<Check> modulation_declaration_checks() {
  return {
      {"requirements_make_sense", "What it declares that it needs and costs can be.",
       &requirements_make_sense},
      {"takes_a_network", "It takes a small network of one to three modalities.", &takes_a_network},
      {"subsets_as_declared", "A step asks for no more subsets than declared.",
       &on_each_design<subsets_as_declared>},
      {"backward_passes_as_declared", "A step makes no more backward passes than declared.",
       &on_each_design<backward_passes_as_declared>},
      {"extra_passes_as_declared",
       "In its first epochs it visits no data outside the training steps, unless it says so.",
       &on_each_design<extra_passes_as_declared>},
  };
}

}  // namespace poise::conformance
