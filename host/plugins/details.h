#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/catalog.h"
#include "poise/config.h"
#include "poise/modulation.h"

namespace poise {

/// A catalog's entry and what only its library tells, made with the defaults of its options. A library that refuses
/// to load makes the entry damaged, and leaves the rest empty.
struct Details {
  Entry entry;
  std::vector<Option> options;
  std::vector<std::string> abilities;  ///< of an encoder or a fusion, a sentence each
  std::vector<std::pair<int, Requirements>>
      requirements;                            ///< of a modulation, by number of modalities: 2 and 3
  std::optional<std::string> neutral_options;  ///< of a modulation
  std::string library;                         ///< "" when there is none
  std::string sha256;
};

/// Opens the plugin's library, unless its manifest tells that it cannot be used.
Details examine(const Entry& entry);

}  // namespace poise
