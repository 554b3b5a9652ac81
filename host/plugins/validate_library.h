#pragma once

#include <string>
#include <vector>

#include "plugins/catalog.h"
#include "poise/conformance.h"

namespace poise {

/// What must hold for the library of every plugin, beside what poise/conformance.h checks of the plugin in it.
struct LibraryCheck {
  std::string name;
  std::string purpose;  ///< one sentence
  testing::Finding (*run)(const Entry& entry) = nullptr;
};

/// The first one opens the library. What the loader refuses, it throws: Error (plugin).
const std::vector<LibraryCheck>& library_checks();

}  // namespace poise
