#include "analysis/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace poise {
namespace {

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
}

}  // namespace
}  // namespace poise
