#include "analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <boost/math/distributions/students_t.hpp>

namespace poise {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

boost::math::students_t student(const Spread& spread) {
  return boost::math::students_t(static_cast<double>(spread.count) - 1);
}

/// Of the mean.
double standard_error(const Spread& spread) {
  return spread.deviation / std::sqrt(static_cast<double>(spread.count));
}

}  // namespace

Spread spread(const std::vector<double>& values) {
  Spread result;
  result.count = values.size();
  if (values.empty()) return result;
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / n;
  result.half_width = std::numeric_limits<double>::infinity();
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (n - 1));
  result.half_width = interval_half_width(result);
  return result;
}

Spread spread(const BySeed& values) {
  std::vector<double> plain;
  plain.reserve(values.size());
  for (const auto& [seed, value] : values) plain.push_back(value);
  return spread(plain);
}

Spread paired_difference(const BySeed& a, const BySeed& b) {
  std::vector<double> differences;
  for (const auto& [seed, value] : a) {
    if (const auto other = b.find(seed); other != b.end()) differences.push_back(value - other->second);
  }
  return spread(differences);
}

BySeed at_common_seeds(const BySeed& values, const BySeed& others) {
  BySeed common;
  for (const auto& [seed, value] : values) {
    if (others.contains(seed)) common.emplace(seed, value);
  }
  return common;
}

double interval_half_width(const Spread& spread) {
  if (spread.count < 2) return std::numeric_limits<double>::infinity();
  return boost::math::quantile(student(spread), 0.975) * standard_error(spread);
}

double paired_t_test(const Spread& difference) {
  if (difference.count < 2 || !std::isfinite(difference.deviation)) return nan;
  if (difference.deviation == 0) return difference.mean == 0 ? 1 : 0;
  const double t = std::abs(difference.mean) / standard_error(difference);
  return 2 * boost::math::cdf(boost::math::complement(student(difference), t));
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](std::size_t i) { return std::isnan(p[i]); });
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size(), nan);
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto remaining = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, remaining * p[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

double detectable_difference(const Spread& difference) {
  if (difference.count < 2) return nan;
  const auto distribution = student(difference);
  return (boost::math::quantile(distribution, 0.975) + boost::math::quantile(distribution, 0.8)) *
         standard_error(difference);
}

}  // namespace poise
