#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <toml++/toml.h>

#include "poise/config.h"

namespace poise {

/// The options of a parsed table, for programs that read pipelines (plugins need only config.h). `name` is the
/// dotted path of the table in messages ("modulation", "encoder.audio"). The table is shared, not copied: a
/// copy in TOML++ loses its positions.
Config make_config(std::shared_ptr<const toml::table> table, const std::string& name);

/// "file.toml:12:3", the text of the command line's setting ("--set train.epochs=2"), or the empty string when
/// there is no position.
std::string where(const toml::source_region& source);
inline std::string where(const toml::node& node) { return where(node.source()); }
inline std::string where(const toml::key& key) { return where(key.source()); }

/// The folder of the file that a value stands in, which relative paths are meant relative to; empty for the
/// command line's settings.
std::filesystem::path folder_of(const toml::node& node);

}  // namespace poise
