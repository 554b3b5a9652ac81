#pragma once

// Plugin folders for tests.

#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "plugins/compatibility.h"
#include "plugins/manifest.h"
#include "poise/error.h"
#include "poise/files.h"

namespace poise::testing {

/// A manifest that this host accepts.
inline Manifest manifest(const std::string& name, const std::string& kind = "modulation") {
  return {name, kind, "1.2.3", "a plugin of the tests", "Apache-2.0", "poise." + kind + "/1", host_identity(),
          {}};
}

/// `identity` with `field` set to `value`; without it when `value` is empty.
inline Identity with(Identity identity, const std::string& field, const std::string& value) {
  std::erase_if(identity, [&](const auto& entry) { return entry.first == field; });
  if (!value.empty()) identity.emplace_back(field, value);
  return identity;
}

inline std::string toml_text(const Manifest& manifest) {
  std::string text = "name = '" + manifest.name + "'\nkind = '" + manifest.kind + "'\nversion = '" +
                     manifest.version + "'\nsummary = '" + manifest.summary + "'\nlicense = '" +
                     manifest.license + "'\ninterface = '" + manifest.interface + "'\n[built_with]\n";
  for (const auto& [field, value] : manifest.built_with) text += fmt::format("{} = '{}'\n", field, value);
  return text;
}

/// Makes FOLDER/NAME with its plugin.toml and `library` as NAME.so (a text that is no library by default). Returns
/// the plugin's folder.
inline std::filesystem::path install(const std::filesystem::path& folder, const Manifest& manifest,
                                     const std::filesystem::path& library = {}) {
  const auto plugin = folder / manifest.name;
  std::filesystem::create_directories(plugin);
  write_file(plugin / "plugin.toml", toml_text(manifest));
  if (library.empty()) {
    write_file(plugin / (manifest.name + ".so"), "no library");
  } else {
    std::filesystem::copy_file(library, plugin / (manifest.name + ".so"));
  }
  return plugin;
}

/// What `function` throws as Error; an empty sentence when it throws nothing.
template <class Function>
Error error_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return Error("");
}

}  // namespace poise::testing
