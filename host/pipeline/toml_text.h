#pragma once

#include <string>

#include <toml++/toml.h>

namespace poise {

/// A value as TOML on one line, always the same for the same value: keys sorted, numbers with as few digits
/// as give them back (TOML++ writes 0.1 as 0.10000000000000001), a whole number without a point.
std::string toml_text(const toml::node& node);

/// A table as a TOML file: values first, then each sub-table under its [header].
std::string toml_file(const toml::table& table);

/// A table as TOML without headers, a line a value under its dotted key, so that further lines may follow.
std::string toml_lines(const toml::table& table);

}  // namespace poise
