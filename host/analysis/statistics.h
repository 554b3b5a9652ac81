#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "report/summary.h"

namespace poise {

/// A quantity of each run of a group, by seed.
using BySeed = std::map<std::int64_t, double>;

/// Mean, sample standard deviation (divisor n - 1) and the 95 % confidence interval of the mean.
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

/// The two-sided t-test that differences, paired by seed, have the mean 0:
///   p = P(|T| >= |mean| sqrt(n) / s),  T of Student's distribution with n - 1 degrees of freedom.
/// NaN below 2 values. Where all differences are the same, p is 1 if they are 0, else 0.
double paired_t_test(const Spread& difference);

/// The p-values corrected for their number q, in the order given, as S. Holm has it ("A simple sequentially
/// rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979); with p_1 <= ... <= p_q
///   adjusted_j = max over i <= j of min(1, (q - i + 1) p_i).
/// Those that are NaN stay so and are not counted.
std::vector<double> holm(const std::vector<double>& p);

/// The smallest mean that one paired_t_test at the 5 % level finds with a power of 80 %, at this deviation:
///   (t(0.975, n - 1) + t(0.8, n - 1)) s / sqrt(n),
/// the usual approximation of what the noncentral t distribution gives exactly: 0.1 % below it for n = 10, 5 %
/// for n = 3. NaN below 2 values.
double detectable_difference(const Spread& difference);

}  // namespace poise
