#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "report/summary.h"

namespace poise {

/// A quantity of each run of a group, by seed.
using BySeed = std::map<std::int64_t, double>;

/// Mean and sample standard deviation (divisor n - 1).
Spread spread(const std::vector<double>& values);
Spread spread(const BySeed& values);

/// The spread of a - b over the seeds that both have: what two methods share with a seed (initial weights,
/// order of samples) cancels.
Spread paired_difference(const BySeed& a, const BySeed& b);

/// The part of `values` whose seeds are in `others`, too.
BySeed at_common_seeds(const BySeed& values, const BySeed& others);

/// Half the width of the 95 % confidence interval of the mean: t(0.975, n - 1) s / sqrt(n), with t of
/// Student's distribution. Infinite below 2 values.
double interval_half_width(const Spread& spread);

}  // namespace poise
