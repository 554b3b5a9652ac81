#pragma once

#include <string>
#include <vector>

#include "bench.h"
#include "checks.h"

namespace poise::conformance {

/// The small networks of one to three modalities that the modulation, with its options and `more`, declares that it takes
/// and does not refuse.
std::vector<reference::Design> accepted_designs(const Subject& subject, const std::string& more = "",
                                                std::string* why_not = nullptr);

/// A check of a modulation on each of them.
using ModulationCheck = Finding (*)(const Subject& subject, const reference::Design& design);
template <ModulationCheck check>
Finding on_each_design(const Subject& subject) {
  Findings findings;
  for (const auto& design : accepted_designs(subject)) {
    if (findings.add(described(design), check(subject, design))) break;
  }
  return findings.overall();
}

}  // namespace poise::conformance
