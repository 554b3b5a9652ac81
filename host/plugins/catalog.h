#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plugins/compatibility.h"
#include "plugins/manifest.h"

namespace poise {

enum class PluginState {
  ok,            ///< can be used, as far as can be told without opening it
  incompatible,  ///< built for another host
  damaged,       ///< no readable manifest, or no library
  hidden,        ///< a plugin of the same name stands in an earlier folder
};

/// "ok", "incompatible", "damaged" or "hidden".
const char* name(PluginState state);

/// A folder that is searched for plugins, and who named it: "--plugin-dir", "plugin_path",
/// "POISE_PLUGIN_PATH", "user" or "built in".
struct SearchFolder {
  std::filesystem::path path;
  std::string origin;
};

/// The installation, or build tree, that this executable belongs to.
std::filesystem::path installation();

/// The folders to search, in order: those of the command line, of the pipeline, of POISE_PLUGIN_PATH
/// (separated by colons), the user's ($XDG_DATA_HOME/poise/plugins, else ~/.local/share/poise/plugins), and
/// lib/poise/plugins of the installation. All absolute; not all need exist.
std::vector<SearchFolder> search_folders(const std::vector<std::filesystem::path>& command_line = {},
                                         const std::vector<std::filesystem::path>& pipeline = {});

/// A plugin that was found. A damaged manifest leaves the name (its folder's) and the folder.
struct Entry {
  Manifest manifest;
  std::string origin;
  PluginState state = PluginState::ok;
  std::vector<std::string> reasons;  ///< why it cannot be used, a sentence each; empty when it can
};

/// The plugins in a list of folders, one level deep: FOLDER/NAME/plugin.toml. The first folder that has a
/// name wins, also when what it has cannot be used. Manifests are read; no library is opened.
class Catalog {
 public:
  explicit Catalog(std::vector<SearchFolder> folders, const Identity& host = host_identity());

  /// The plugin `name` of `kind`, which can be used. Throws Error: (plugin) when it is there but cannot be
  /// used, with its reasons; (usage) when it is unknown, with near names, the folders searched and the
  /// plugins that cannot be used. The first line is a sentence of its own; details follow in lines that are
  /// indented.
  [[nodiscard]] const Entry& find(const std::string& kind, const std::string& name) const;
  /// The same for a plugin of any kind, that need not be usable.
  [[nodiscard]] const Entry& find(const std::string& name) const;

  /// By name; of the same name, in the order of the folders.
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  void scan(const SearchFolder& folder, const Identity& host);
  [[nodiscard]] const Entry* winner(const std::string& name) const;
  [[noreturn]] void fail_unknown(const std::string& sentence) const;

  std::vector<SearchFolder> folders_;
  std::vector<Entry> entries_;
};

}  // namespace poise
