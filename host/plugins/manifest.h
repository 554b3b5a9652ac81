#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace poise {

/// What a binary was built with: field ("torch") and value ("2.11.0"), in the order of the manifest. A
/// manifest may hold fields that this host does not know.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// What plugin.toml says, read without opening the library beside it. All of it is text from elsewhere: print
/// it through escaped().
struct Manifest {
  std::string name;
  std::string kind;  ///< "dataset", "encoder", "fusion" or "modulation", or what another host knows
  std::string version;
  std::string summary;
  std::string license;
  std::string interface;  ///< "poise.KIND/REVISION"
  Identity built_with;
  std::filesystem::path folder;

  /// NAME.so in the manifest's folder.
  [[nodiscard]] std::filesystem::path library() const;
};

/// Reads FOLDER/plugin.toml. Throws Error (plugin): a sentence with file, line and column.
Manifest read_manifest(const std::filesystem::path& folder);

/// The value of `field`, or null.
const std::string* value_of(const Identity& identity, const std::string& field);

/// `text` with everything that would act on a terminal (control characters, changes of writing direction,
/// bytes that are not UTF-8) written as \xNN.
std::string escaped(const std::string& text);

}  // namespace poise
