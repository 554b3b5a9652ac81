#include "analysis/statistics.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

namespace poise {

Spread spread(const std::vector<double>& values) {
  Spread result;
  result.count = values.size();
  if (values.empty()) return result;
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (n - 1));
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
  const auto n = static_cast<double>(spread.count);
  const boost::math::students_t distribution(n - 1);
  return boost::math::quantile(distribution, 0.975) * spread.deviation / std::sqrt(n);
}

}  // namespace poise
