#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <toml++/toml.h>

namespace poise {

/// A pipeline file with what it includes below it and the command line's --set above it, merged: tables
/// deeply, everything else replaced by what comes later. Every key and value knows the place it was written
/// at.
struct Document {
  toml::table table;
  /// The files and settings that it was read from, from the lowest to the highest.
  std::vector<std::string> sources;
};

/// Reads `file`, the files of its top-level `include = ["base.toml"]` (relative to the file that names them),
/// and `settings`, each "dotted.key=value"; one of `matrix` goes into each table of `[[matrix]]`. Throws Error
/// (usage) with file, line and column, or with the setting.
/// Reading again is cheap (0.1 ms a file) and the only way to a second copy: a copy of a TOML++ node forgets
/// its place.
Document read_document(const std::filesystem::path& file, const std::vector<std::string>& settings = {});

/// The table that "dotted.key=value" stands for. The value is TOML; a word that is none is a text.
toml::table read_setting(const std::string& setting);

/// Moves all of `from` into `into`.
void merge(toml::table& into, toml::table&& from);

/// Puts `node` at a dotted path, making the tables on the way. Throws Error (usage) when something on the way
/// is no table.
void place(toml::table& table, const std::string& dotted, toml::node&& node);

}  // namespace poise
