#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/summary.h"

namespace poise {

struct Results {
  std::vector<RunResult> runs;     ///< ordered by folder name
  std::vector<std::string> notes;  ///< one sentence for each run, or part of one, that could not be read
};

/// Reads the finished runs that lie one level below `folder`. Of two runs of one group and seed only the
/// newer is kept: the older is left from an earlier version of the pipeline. Throws Error (usage) when there
/// is no such folder.
Results read_results(const std::filesystem::path& folder);

}  // namespace poise
