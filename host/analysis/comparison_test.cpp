#include "analysis/comparison.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/test_runs.h"

namespace poise {
namespace {

using testing::run;

std::map<std::string, std::optional<Spread>> differences_to_joint(std::vector<RunResult> runs) {
  std::map<std::string, std::optional<Spread>> differences;
  for (const MethodSummary& method : compare(std::move(runs))) differences[method.group] = method.to_joint;
  return differences;
}

TEST(Comparison, PairsAMethodWithTheJointTrainingOfItsFusion) {
  const auto to_joint = differences_to_joint(
      {run("joint", 0, 0.90, {}), run("joint maxout", 0, 0.80, {}, "", "maxout"), run("agm", 0, 0.93, {}),
       run("agm maxout", 0, 0.85, {}, "", "maxout"), run("agm gated", 0, 0.85, {}, "", "gated")});
  ASSERT_TRUE(to_joint.at("agm").has_value());
  EXPECT_NEAR(to_joint.at("agm")->mean, 0.03, 1e-12);
  ASSERT_TRUE(to_joint.at("agm maxout").has_value());
  EXPECT_NEAR(to_joint.at("agm maxout")->mean, 0.05, 1e-12);
  EXPECT_FALSE(to_joint.at("agm gated").has_value()) << "no joint training has this fusion";
  EXPECT_FALSE(to_joint.at("joint").has_value()) << "joint training is not compared with itself";
}

TEST(Comparison, PairsAMethodWithTheJointTrainingOfItsSettings) {
  const auto to_joint =
      differences_to_joint({run("joint lr=0.1", 0, 0.90, {}), run("joint lr=0.2", 0, 0.80, {}),
                            run("agm alpha=1 lr=0.2", 0, 0.85, {}), run("agm alpha=1 lr=0.3", 0, 0.85, {})});
  ASSERT_TRUE(to_joint.at("agm alpha=1 lr=0.2").has_value());
  EXPECT_NEAR(to_joint.at("agm alpha=1 lr=0.2")->mean, 0.05, 1e-12);
  EXPECT_FALSE(to_joint.at("agm alpha=1 lr=0.3").has_value()) << "no joint training has lr=0.3";
}

TEST(Comparison, FindsTheModalityAloneOfTheSameSettingsAndOfAnyFusion) {
  const auto methods = compare({run("joint maxout lr=0.1", 0, 0.9, {{"audio", 0.40}}, "", "maxout"),
                                run("joint maxout lr=0.2", 0, 0.9, {{"audio", 0.50}}, "", "maxout"),
                                run("audio alone lr=0.1", 0, 0.80, {}, "audio"),
                                run("audio alone lr=0.2", 0, 0.95, {}, "audio")});
  ASSERT_EQ(methods[0].group, "joint maxout lr=0.1");
  EXPECT_NEAR(methods[0].gaps.at("audio").difference.mean, 0.40, 1e-12);
  EXPECT_NEAR(methods[1].gaps.at("audio").difference.mean, 0.45, 1e-12);
}

TEST(Comparison, PutsJointTrainingFirstAndSingleModalitiesLast) {
  const auto methods = compare({run("audio alone", 0, 0.9, {}, "audio"), run("agm", 1, 0.9, {}),
                                run("agm", 0, 0.8, {}), run("joint", 0, 0.9, {})});
  ASSERT_EQ(methods.size(), 3U);
  EXPECT_EQ(methods[0].group, "joint");
  EXPECT_EQ(methods[1].group, "agm");
  EXPECT_EQ(methods[1].runs[0].seed, 0);
  EXPECT_EQ(methods[1].runs[1].seed, 1);
  EXPECT_EQ(methods[2].group, "audio alone");
}

}  // namespace
}  // namespace poise
