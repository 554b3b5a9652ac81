#pragma once

#include <filesystem>
#include <vector>

#include "plugins/details.h"

namespace poise {

/// Writes the reference in Markdown: index.md, and KIND/NAME.md for every plugin that can be used, all of it from what
/// the plugins say of themselves. The index names those that cannot be used, with the reasons. Throws Error when a
/// file cannot be written.
void write_reference(const std::vector<Details>& plugins, const std::filesystem::path& folder);

}  // namespace poise
