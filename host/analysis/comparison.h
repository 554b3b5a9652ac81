#pragma once

#include <vector>

#include "report/summary.h"

namespace poise {

/// Groups runs that differ in the seed only, and compares each group with joint training and with its
/// modalities trained alone, on the same data. In the order of a report: condition by condition, methods by
/// falling test score (those without one at the end), then single modalities.
///
/// A group is compared with the joint training that has the same fusion; where several have (a matrix varies
/// more than the modulation), with the one whose words ("lr=0.1" of "joint lr=0.1") the group has, too, and of
/// those with the one that has most of them. Joint training itself is compared where it has words more than
/// another: "joint clip=1" with "joint". All gains together are one family of tests, which Holm corrects.
///
/// Where a method comes with several settings on the same data and with the same fusion, the one with the best
/// mean score of the validation split is selected.
std::vector<MethodSummary> compare(std::vector<RunResult> runs);

}  // namespace poise
