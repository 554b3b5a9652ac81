#pragma once

#include <filesystem>
#include <iosfwd>

namespace poise {

/// Reads every run below `folder` (one level), prints for each kind of data which modality is starved and the
/// table of methods to `out`, and writes the page report.html into the folder. Runs that are unfinished or
/// damaged are named, and the others shown. Throws Error when there is no such folder or no finished run in it (usage), or when the
/// page cannot be written: the table is printed by then.
void report_folder(const std::filesystem::path& folder, std::ostream& out);

/// The same data as one JSON object; writes no page.
void report_folder_as_json(const std::filesystem::path& folder, std::ostream& out);

}  // namespace poise
