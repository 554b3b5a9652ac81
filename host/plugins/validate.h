#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "plugins/catalog.h"

/// Whether a plugin keeps what its kind promises (poise/conformance.h) and its library is as it should be. Every check
/// runs in a child process of its own, so that a plugin that crashes or hangs is a finding and not the end.
namespace poise {

enum class CheckOutcome { passed, skipped, warning, failed, crashed };

/// "passed", "skipped", "warning", "failed" or "crashed".
const char* name(CheckOutcome outcome);

struct CheckReport {
  std::string check;
  CheckOutcome outcome = CheckOutcome::passed;
  std::string sentence;  ///< why, unless it passed; in a plugin's words, so print it through escaped()
};

struct CheckDescription {
  std::string name;
  std::string purpose;
};

struct ValidationRequest {
  std::vector<std::string> settings;  ///< "KEY=VALUE", options of the plugin
  std::vector<std::string> only;      ///< names of checks; empty: all
  std::uint64_t seed = 1;
  int timeout = 120;  ///< seconds that a check may take
};

/// The plugin whose folder or library is `path`. Throws Error: (usage) when there is none, (plugin) when its manifest
/// says that this host cannot use it. Opens nothing.
Entry plugin_at(const std::filesystem::path& path);

/// The checks of a kind in the order in which they run.
std::vector<CheckDescription> checks_for(const std::string& kind);

/// Runs the checks, each as `poise plugins validate FOLDER --check NAME --result FILE`, and calls `report` as each ends.
/// When the library cannot even be opened without a crash, that is the last. Returns false when SIGINT or SIGTERM ended
/// it. Throws Error: (usage) for a check that the kind does not have, (plugin) when the loader refuses the library.
bool validate(const Entry& entry, const ValidationRequest& request,
              const std::function<void(const CheckReport&)>& report);

/// The child's part: runs one check, with `options` (TOML lines) for the plugin, in this process, and writes `result`.
void run_check(const Entry& entry, const std::string& check, const std::string& options, std::uint64_t seed,
               const std::filesystem::path& result);

}  // namespace poise
