#include "plugins/details.h"

#include "plugins/loader.h"
#include "poise/dataset.h"
#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/files.h"
#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"

namespace poise {
namespace {

// Asked is what is known after construction.

void ask(const Encoder& encoder, Details& details) {
  if (encoder.gives_tokens()) details.abilities.emplace_back("It gives tokens.");
  if (dynamic_cast<const StagedEncoder*>(&encoder) != nullptr) {
    details.abilities.emplace_back("It runs in stages, for fusions that act inside the encoders.");
  }
}

void ask(const Fusion& fusion, Details& details) {
  details.abilities.emplace_back(fusion.additive()
                                     ? "It is additive: the logits are a sum of one share per modality."
                                     : "It is not additive.");
  if (fusion.takes_tokens()) details.abilities.emplace_back("It takes tokens.");
  if (dynamic_cast<const IntermediateFusion*>(&fusion) != nullptr) {
    details.abilities.emplace_back("It acts inside the encoders, which must run in stages.");
  }
  if (dynamic_cast<const GateSwitch*>(&fusion) != nullptr) {
    details.abilities.emplace_back("Its gates can be replaced by their averages (poise/gate_switch.h).");
  }
}

void ask(const Modulation& modulation, Details& details) {
  for (const int k : {2, 3}) details.requirements.emplace_back(k, modulation.requirements(k));
  details.neutral_options = modulation.neutral_options();
}

void ask(const Dataset& /*dataset*/, Details& /*details*/) {}

template <class Interface>
void construct(Details& details) {
  if (details.entry.manifest.kind != kind_of<Interface>()) return;
  Config config = Config::recording();
  const auto plugin = load<Interface>(details.entry, config);
  plugin.call([&](const Interface& object) { ask(object, details); });
  details.options = config.options();
}

}  // namespace

Details examine(const Entry& entry) {
  Details details{entry, {}, {}, {}, {}, "", ""};
  if (entry.state == PluginState::ok) {
    try {
      construct<Dataset>(details);
      construct<Encoder>(details);
      construct<Fusion>(details);
      construct<Modulation>(details);
    } catch (const Error& error) {
      details = {entry, {}, {}, {}, {}, "", ""};
      details.entry.state = PluginState::damaged;
      details.entry.reasons = {error.what()};
    }
  }
  std::error_code ignored;
  if (std::filesystem::is_regular_file(entry.manifest.library(), ignored)) {
    details.library = entry.manifest.library().string();
    details.sha256 = sha256_file(entry.manifest.library());
  }
  return details;
}

}  // namespace poise
