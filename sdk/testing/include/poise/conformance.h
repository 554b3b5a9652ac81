#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "poise/identity.h"

/// What must hold for every plugin of a kind. The same checks serve GoogleTest (conformance_test.h) and
/// "poise plugins validate". They use a network, a trainer and small data of their own, never the host's.
namespace poise::testing {

enum class Outcome {
  passed,
  skipped,  ///< the plugin does not claim what the check is about, or declares that it needs something else
  warning,  ///< legal, but worth a look
  failed,
};

struct Finding {
  Outcome outcome = Outcome::passed;
  std::string sentence;  ///< why, unless it passed
};

/// The plugin under test.
struct Subject {
  const PoisePlugin* plugin = nullptr;
  std::string options;     ///< TOML lines for the options that have no default
  std::uint64_t seed = 1;  ///< of every random number of a check
};

/// One thing that must hold. `run` may throw: that is a failure with the exception's sentence.
struct Check {
  std::string name;     ///< "absent_is_constant"
  std::string purpose;  ///< one sentence
  Finding (*run)(const Subject& subject) = nullptr;
};

/// Those of every plugin and those of the kind ("dataset", "encoder", "fusion", "modulation"), in the order in which
/// they are worth running.
const std::vector<Check>& checks_of(const std::string& kind);

/// Runs one check with the default generator seeded, turning what it throws into a failure.
Finding run(const Check& check, const Subject& subject);

}  // namespace poise::testing
