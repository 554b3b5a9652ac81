#pragma once

#include <vector>

#include "report/summary.h"

namespace poise {

/// Groups runs that differ in the seed only, and compares each group with joint training and with its
/// modalities trained alone. Joint training comes first, single modalities last.
///
/// A group is compared with the joint training that has the same fusion; where several have (a matrix varies
/// more than the modulation), with the one whose words ("lr=0.1" of "joint lr=0.1") the group has, too.
std::vector<MethodSummary> compare(std::vector<RunResult> runs);

}  // namespace poise
