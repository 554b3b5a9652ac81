#pragma once

#include <filesystem>
#include <string>

namespace poise {

/// Makes PARENT/NAME, a project of its own that builds, tests and runs a plugin of `kind` ("dataset", "encoder",
/// "fusion" or "modulation"), from share/poise/templates: the folder as a whole or nothing. Returns it. Throws Error:
/// (usage) when the name cannot be a plugin's, is that of a plugin that is found already, or PARENT/NAME exists.
std::filesystem::path make_project(const std::string& kind, const std::string& name,
                                   const std::filesystem::path& parent);

}  // namespace poise
