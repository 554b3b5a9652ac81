#pragma once

#include <memory>
#include <type_traits>

#include "plugins/catalog.h"
#include "poise/config.h"
#include "poise/identity.h"
#include "training/plugin_call.h"

namespace poise {

class Dataset;
class Encoder;
class Fusion;
class Modulation;

/// "dataset", "encoder", "fusion" or "modulation".
template <class Interface>
constexpr const char* kind_of() {
  if constexpr (std::is_same_v<Interface, Dataset>) {
    return "dataset";
  } else if constexpr (std::is_same_v<Interface, Encoder>) {
    return "encoder";
  } else if constexpr (std::is_same_v<Interface, Fusion>) {
    return "fusion";
  } else {
    static_assert(std::is_same_v<Interface, Modulation>, "a plugin is of one of four kinds");
    return "modulation";
  }
}

/// Opens the library of a plugin that can be used (Catalog::find), once per file, and never closes it:
/// autograd graphs hold its code. Throws Error (plugin) when it cannot be opened, is no plugin, brings a
/// second LibTorch, or differs from its manifest. Call it from one thread.
const PoisePlugin& open_plugin(const Entry& entry);

namespace detail {
/// A new object of the plugin as a pointer to the interface of its kind, which must be `kind`. What the
/// constructor throws comes with the plugin's name; (plugin), unless it is about the options (usage).
void* create_object(const Entry& entry, const char* kind, Config& config);
PluginName plugin_name(const Entry& entry);
}  // namespace detail

/// A new object of the plugin, constructed from `config`. The caller asks config.finish() for unknown keys.
/// Include the header of `Interface` where this is used.
template <class Interface>
Loaded<Interface> load(const Entry& entry, Config& config) {
  auto* object = static_cast<Interface*>(detail::create_object(entry, kind_of<Interface>(), config));
  return {std::shared_ptr<Interface>(object), detail::plugin_name(entry)};
}

}  // namespace poise
