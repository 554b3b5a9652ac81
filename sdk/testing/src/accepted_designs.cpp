#include "accepted_designs.h"

#include "poise/error.h"

namespace poise::conformance {

using reference::Bench;
using reference::Design;

namespace {

/// Whether a network of `design` has what a modulation needs.
bool gives(const Design& design, const Requirements& needs) {
  if (!design.gates) return !needs.gate_switch && (design.additive || !needs.additive_fusion);
  return design.modalities == 2 && !needs.additive_fusion && !needs.late_fusion && !needs.replaces_fusion;
}

}  // namespace

std::vector<Design> accepted_designs(const Subject& subject, const std::string& more, std::string* why_not) {
  const std::vector<Design> designs = {
      {.additive = true, .convolutions = true, .norm = false},
      {.additive = true, .convolutions = true, .norm = true},
      {.additive = false, .convolutions = true, .norm = true},
      {.additive = false, .convolutions = false, .norm = false},
      {.additive = false, .convolutions = true, .norm = false, .gates = true},
  };
  std::vector<Design> accepted;
  for (int k = 1; k <= 3; ++k) {
    const auto needs = make<Modulation>(subject, more)->requirements(k);
    if (k < needs.min_modalities || k > needs.max_modalities) continue;
    for (Design design : designs) {
      design.modalities = k;
      if (!gives(design, needs)) continue;
      Bench bench(design, make<Modulation>(subject, more), subject.seed);
      try {
        bench.begin();
        accepted.push_back(design);
      } catch (const Error& error) {
        if (error.fault() != Fault::usage) throw;
        if (why_not != nullptr) *why_not = error.what();
      }
    }
  }
  return accepted;
}

}  // namespace poise::conformance
