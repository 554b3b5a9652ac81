#pragma once

#include <memory>
#include <string>

#include <toml++/toml.h>

#include "poise/config.h"

namespace poise {

/// The options of a parsed table, for programs that read pipelines (plugins need only config.h). `name` is the
/// dotted path of the table in messages ("modulation", "encoder.audio"). The table is shared, not copied: a
/// copy in TOML++ loses its positions.
Config make_config(std::shared_ptr<const toml::table> table, const std::string& name);

/// "file.toml:12:3", or the empty string when the node has no position.
std::string where(const toml::node& node);

}  // namespace poise
