#include "plugins/catalog.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include <boost/dll/runtime_symbol_info.hpp>

#include "poise/error.h"
#include "poise/suggest.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

void add_user_folder(std::vector<SearchFolder>& folders) {
  const char* data = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  if (data != nullptr && *data == '/') {
    folders.push_back({fs::path(data) / "poise/plugins", "user"});
  } else if (home != nullptr && *home == '/') {
    folders.push_back({fs::path(home) / ".local/share/poise/plugins", "user"});
  }
}

/// The plugin in `folder`, looked at alone.
Entry read_entry(const fs::path& folder, const std::string& origin, const Identity& host) {
  Entry entry;
  entry.origin = origin;
  entry.manifest.name = folder.filename().string();
  entry.manifest.folder = folder;
  try {
    entry.manifest = read_manifest(folder);
    entry.reasons = mismatches(entry.manifest, host);
    if (!entry.reasons.empty()) {
      entry.state = PluginState::incompatible;
    } else if (!fs::is_regular_file(entry.manifest.library())) {
      entry.state = PluginState::damaged;
      entry.reasons = {"Its library " + entry.manifest.library().string() +
                       " is missing; install the plugin again."};
    }
  } catch (const std::exception& error) {
    entry.state = PluginState::damaged;
    entry.reasons = {error.what()};
  }
  return entry;
}

const std::string& name_of(const Entry& entry) { return entry.manifest.name; }

/// "the modulation 'agm' (FOLDER)"
std::string described(const Entry& entry) {
  const std::string& kind = entry.manifest.kind;
  return "the " + (kind.empty() ? "plugin" : escaped(kind)) + " '" + escaped(entry.manifest.name) + "' (" +
         escaped(entry.manifest.folder.string()) + ")";
}

}  // namespace

const char* name(PluginState state) {
  switch (state) {
    case PluginState::ok: return "ok";
    case PluginState::incompatible: return "incompatible";
    case PluginState::damaged: return "damaged";
    case PluginState::hidden: return "hidden";
  }
  return "";
}

fs::path installation() {
  return fs::path(boost::dll::program_location().string()).parent_path().parent_path();
}

std::vector<SearchFolder> search_folders(const std::vector<fs::path>& command_line,
                                         const std::vector<fs::path>& pipeline) {
  std::vector<SearchFolder> folders;
  folders.reserve(command_line.size() + pipeline.size() + 2);
  for (const auto& path : command_line) folders.push_back({path, "--plugin-dir"});
  for (const auto& path : pipeline) folders.push_back({path, "plugin_path"});
  if (const char* variable = std::getenv("POISE_PLUGIN_PATH")) {
    std::istringstream paths(variable);
    for (std::string path; std::getline(paths, path, ':');) {
      if (!path.empty()) folders.push_back({path, "POISE_PLUGIN_PATH"});
    }
  }
  add_user_folder(folders);
  folders.push_back({installation() / "lib/poise/plugins", "built in"});
  for (auto& folder : folders) folder.path = fs::absolute(folder.path).lexically_normal();
  return folders;
}

Catalog::Catalog(std::vector<SearchFolder> folders, const Identity& host) : folders_(std::move(folders)) {
  for (const auto& folder : folders_) scan(folder, host);
  for (std::size_t i = 1; i < entries_.size(); ++i) {
    if (entries_[i].manifest.name != entries_[i - 1].manifest.name) continue;
    entries_[i].state = PluginState::hidden;
    entries_[i].reasons = {"It is hidden by " + described(*winner(entries_[i].manifest.name)) + "."};
  }
}

void Catalog::scan(const SearchFolder& folder, const Identity& host) {
  std::error_code unreadable;
  for (const auto& candidate : fs::directory_iterator(folder.path, unreadable)) {
    std::error_code ignored;
    if (!fs::exists(candidate.path() / "plugin.toml", ignored)) continue;
    const bool seen = std::ranges::any_of(entries_, [&](const Entry& entry) {
      return entry.manifest.folder == candidate.path();  // the same folder, named twice
    });
    if (seen) continue;
    Entry entry = read_entry(candidate.path(), folder.origin, host);
    const auto place = std::ranges::upper_bound(entries_, entry.manifest.name, {}, name_of);
    entries_.insert(place, std::move(entry));
  }
}

const Entry* Catalog::winner(const std::string& name) const {
  const auto found = std::ranges::find(entries_, name, name_of);
  return found == entries_.end() ? nullptr : &*found;
}

const Entry& Catalog::find(const std::string& kind, const std::string& name) const {
  const Entry* entry = winner(name);
  const bool is_other_kind =
      entry != nullptr && !entry->manifest.kind.empty() && entry->manifest.kind != kind;
  if (entry == nullptr || is_other_kind) {
    std::vector<std::string> names;
    for (const auto& other : entries_) {
      if (other.manifest.kind == kind && other.state == PluginState::ok) names.push_back(other.manifest.name);
    }
    const std::string hint = did_you_mean(name, names);
    if (!is_other_kind)
      fail_unknown("unknown " + kind + " '" + escaped(name) + "'" + (hint.empty() ? "." : hint));
    fail_unknown("the plugin '" + name + "' (" + escaped(entry->manifest.folder.string()) +
                 ") is of the kind " + escaped(entry->manifest.kind) + ", not " + kind +
                 (hint.empty() ? "." : hint));
  }
  if (entry->state == PluginState::ok) return *entry;
  std::string text = described(*entry) + " cannot be used:";
  for (const auto& reason : entry->reasons)
    text += (entry->reasons.size() == 1 ? " " : "\n  ") + escaped(reason);
  throw Error(text, Fault::plugin);
}

const Entry& Catalog::find(const std::string& name) const {
  if (const Entry* entry = winner(name)) return *entry;
  std::set<std::string> names;
  for (const auto& entry : entries_) names.insert(entry.manifest.name);
  const std::string hint = did_you_mean(name, {names.begin(), names.end()});
  fail_unknown("unknown plugin '" + escaped(name) + "'" + (hint.empty() ? "." : hint));
}

void Catalog::fail_unknown(const std::string& sentence) const {
  std::string text = sentence;
  for (const auto& folder : folders_) {
    text += "\n  searched: " + folder.path.string() + " (" + folder.origin;
    text += fs::is_directory(folder.path) ? ")" : ", does not exist)";
  }
  for (const auto& entry : entries_) {
    if (entry.state == PluginState::ok) continue;
    for (const auto& reason : entry.reasons) {
      text += "\n  cannot be used: " + escaped(entry.manifest.folder.string() + ": " + reason);
    }
  }
  throw Error(text, Fault::usage);
}

}  // namespace poise
