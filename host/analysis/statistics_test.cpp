#include "analysis/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "poise/testing_oracle.h"

namespace poise {
namespace {

/// By place, as if by seed.
BySeed by_seed(const nlohmann::json& values) {
  BySeed result;
  for (const double value : values.get<std::vector<double>>()) {
    result.emplace(static_cast<std::int64_t>(result.size()), value);
  }
  return result;
}

Spread difference_of(const nlohmann::json& pair) {
  return paired_difference(by_seed(pair.at("a")), by_seed(pair.at("b")));
}

void expect_near(double actual, const nlohmann::json& expected, double relative = 1e-9) {
  const auto value = expected.get<double>();
  EXPECT_NEAR(actual, value, relative * std::abs(value));
}

/// Further than a test could take one for the other.
void expect_far(double actual, const nlohmann::json& mistake) {
  EXPECT_GT(std::abs(actual / mistake.get<double>() - 1), 0.01);
}

TEST(Spread, IsMeanAndSampleDeviation) {
  // 2, 4, 4, 4, 5, 5, 7, 9: mean 40 / 8 = 5; squared distances 9+1+1+1+0+0+4+16 = 32; sqrt(32 / 7).
  const Spread result = spread(std::vector<double>{2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(result.count, 8U);
  EXPECT_DOUBLE_EQ(result.mean, 5);
  EXPECT_DOUBLE_EQ(result.deviation, std::sqrt(32.0 / 7));
}

TEST(Spread, OfEqualValuesIsZero) { EXPECT_EQ(spread(std::vector<double>{0.5, 0.5, 0.5}).deviation, 0); }

TEST(Spread, OfOneValueHasNoDeviation) {
  const Spread result = spread(BySeed{{3, 0.25}});
  EXPECT_EQ(result.count, 1U);
  EXPECT_EQ(result.mean, 0.25);
  EXPECT_TRUE(std::isnan(result.deviation));
}

TEST(Spread, OfNothingIsNothing) {
  const Spread result = spread(std::vector<double>{});
  EXPECT_EQ(result.count, 0U);
  EXPECT_TRUE(std::isnan(result.mean));
}

TEST(PairedDifference, PairsBySeedAndLeavesOutTheOthers) {
  // Seeds 1 and 2 are common: 6 - 1 = 5 and 9 - 6 = 3; mean 4, deviation sqrt((1 + 1) / 1).
  const BySeed a{{0, 100}, {1, 6}, {2, 9}};
  const BySeed b{{1, 1}, {2, 6}, {3, -50}};
  const Spread difference = paired_difference(a, b);
  EXPECT_EQ(difference.count, 2U);
  EXPECT_DOUBLE_EQ(difference.mean, 4);
  EXPECT_DOUBLE_EQ(difference.deviation, std::sqrt(2.0));
  EXPECT_EQ(at_common_seeds(a, b), (BySeed{{1, 6}, {2, 9}}));
}

TEST(PairedDifference, WithoutCommonSeedsIsNothing) {
  EXPECT_EQ(paired_difference(BySeed{{0, 1}}, BySeed{{1, 1}}).count, 0U);
}

TEST(Interval, HasTheWidthsOfPrintedTables) {
  // t(0.975) of printed tables: 12.706 with 1 degree of freedom, 4.303 with 2, 2.262 with 9.
  EXPECT_NEAR(interval_half_width({2, 0, 1}), 12.706 / std::sqrt(2.0), 5e-4);
  EXPECT_NEAR(interval_half_width({3, 0, 2}), 4.303 * 2 / std::sqrt(3.0), 2e-3);
  EXPECT_NEAR(interval_half_width({10, 0, 1}), 2.262 / std::sqrt(10.0), 5e-4);
  // One degree of freedom is the Cauchy distribution: t = tan(0.475 pi).
  EXPECT_NEAR(interval_half_width({2, 0, 1}), std::tan(0.475 * 3.14159265358979) / std::sqrt(2.0), 1e-9);
}

TEST(Interval, OfOneValueIsUnbounded) {
  EXPECT_TRUE(std::isinf(interval_half_width(spread(BySeed{{0, 1}}))));
  EXPECT_TRUE(std::isinf(spread(BySeed{{0, 1}}).half_width));
}

TEST(Interval, HasTheQuantilesOfTheOracle) {
  const auto rows = testing::oracle("paired_tests").at("quantiles");
  ASSERT_EQ(rows.size() % 2, 0U);
  for (std::size_t i = 0; i < rows.size(); i += 2) {  // the quantiles at 0.8 and at 0.975
    const double n = rows[i][0].get<double>() + 1;
    const double power = rows[i][2].get<double>();
    const double level = rows[i + 1][2].get<double>();
    const Spread of_error_1{static_cast<std::size_t>(n), 0, std::sqrt(n)};
    EXPECT_NEAR(interval_half_width(of_error_1), level, 1e-9 * level);
    EXPECT_NEAR(detectable_difference(of_error_1), level + power, 1e-9 * level);
  }
}

TEST(PairedTest, HasTheValuesOfTheOracle) {
  const auto pairs = testing::oracle("paired_tests").at("pairs");
  ASSERT_EQ(pairs.size(), 4U);
  for (const auto& [name, pair] : pairs.items()) {
    SCOPED_TRACE(name);
    const Spread difference = difference_of(pair);
    expect_near(difference.mean, pair.at("mean"));
    expect_near(difference.deviation, pair.at("deviation"));
    expect_near(difference.half_width, pair.at("half_width"));
    expect_near(paired_t_test(difference), pair.at("p"));
    expect_near(detectable_difference(difference), pair.at("detectable"));
  }
}

TEST(PairedTest, IsNoneOfItsMistakes) {
  const auto pair = testing::oracle("paired_tests").at("pairs").at("better");
  const Spread difference = difference_of(pair);
  for (const char* mistake :
       {"mistake_normal_p", "mistake_unpaired_p", "mistake_one_sided_p", "mistake_population_p"}) {
    SCOPED_TRACE(mistake);
    expect_far(paired_t_test(difference), pair.at(mistake));
  }
  expect_far(difference.half_width, pair.at("mistake_normal_half_width"));
  expect_far(difference.half_width, pair.at("mistake_population_half_width"));
  expect_far(detectable_difference(difference), pair.at("mistake_normal_detectable"));
}

TEST(PairedTest, FindsTheDetectableDifferenceWithAPowerOf80Percent) {
  // The noncentral t distribution's own value; the formula is an approximation.
  const auto pairs = testing::oracle("paired_tests").at("pairs");
  for (const char* name : {"better", "same"}) {
    const auto& pair = pairs.at(name);
    expect_near(detectable_difference(difference_of(pair)), pair.at("exact_detectable"), 0.002);
  }
}

TEST(PairedTest, OfEqualDifferencesIsCertain) {
  EXPECT_EQ(paired_t_test(spread(BySeed{{0, 0}, {1, 0}})), 1);
  EXPECT_EQ(paired_t_test(spread(BySeed{{0, 0.5}, {1, 0.5}})), 0);
}

TEST(PairedTest, NeedsTwoFiniteDifferences) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(paired_t_test(spread(BySeed{{0, 0.5}}))));
  EXPECT_TRUE(std::isnan(paired_t_test(spread(BySeed{{0, 0.5}, {1, nan}}))));
  EXPECT_TRUE(std::isnan(detectable_difference(spread(BySeed{{0, 0.5}}))));
}

TEST(Holm, HasTheValuesOfTheOracle) {
  const auto cases = testing::oracle("paired_tests").at("holm");
  ASSERT_EQ(cases.size(), 4U);
  for (const auto& one : cases) {
    const auto p = one.at("p").get<std::vector<double>>();
    const auto expected = one.at("adjusted").get<std::vector<double>>();
    const std::vector<double> adjusted = holm(p);
    ASSERT_EQ(adjusted.size(), expected.size());
    for (std::size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-15);
  }
  // The second case of the oracle is far from both mistakes in some place.
  const std::vector<double> adjusted = holm(cases.at(1).at("p").get<std::vector<double>>());
  expect_far(adjusted[0], cases.at(1).at("mistake_bonferroni").at(0));
  expect_far(adjusted[1], cases.at(1).at("mistake_no_maximum").at(1));
}

TEST(Holm, DoesNotCountWhatCouldNotBeTested) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> adjusted = holm({0.02, nan, 0.5});
  EXPECT_DOUBLE_EQ(adjusted[0], 0.04);
  EXPECT_TRUE(std::isnan(adjusted[1]));
  EXPECT_DOUBLE_EQ(adjusted[2], 0.5);
  EXPECT_TRUE(holm({}).empty());
}

}  // namespace
}  // namespace poise
