#include "analysis/comparison.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analysis/test_runs.h"

namespace poise {
namespace {

using testing::run;

std::map<std::string, std::optional<Gain>> differences_to_joint(std::vector<RunResult> runs) {
  std::map<std::string, std::optional<Gain>> differences;
  for (const MethodSummary& method : compare(std::move(runs))) differences[method.group] = method.to_joint;
  return differences;
}

TEST(Comparison, PairsAMethodWithTheJointTrainingOfItsFusion) {
  const auto to_joint = differences_to_joint(
      {run("joint", 0, 0.90, {}), run("joint maxout", 0, 0.80, {}, "", "maxout"), run("agm", 0, 0.93, {}),
       run("agm maxout", 0, 0.85, {}, "", "maxout"), run("agm gated", 0, 0.85, {}, "", "gated")});
  ASSERT_TRUE(to_joint.at("agm").has_value());
  EXPECT_NEAR(to_joint.at("agm")->difference.mean, 0.03, 1e-12);
  ASSERT_TRUE(to_joint.at("agm maxout").has_value());
  EXPECT_NEAR(to_joint.at("agm maxout")->difference.mean, 0.05, 1e-12);
  EXPECT_FALSE(to_joint.at("agm gated").has_value()) << "no joint training has this fusion";
  EXPECT_FALSE(to_joint.at("joint").has_value()) << "joint training is not compared with itself";
}

TEST(Comparison, PairsAMethodWithTheJointTrainingOfItsSettings) {
  const auto to_joint =
      differences_to_joint({run("joint lr=0.1", 0, 0.90, {}), run("joint lr=0.2", 0, 0.80, {}),
                            run("agm alpha=1 lr=0.2", 0, 0.85, {}), run("agm alpha=1 lr=0.3", 0, 0.85, {})});
  ASSERT_TRUE(to_joint.at("agm alpha=1 lr=0.2").has_value());
  EXPECT_NEAR(to_joint.at("agm alpha=1 lr=0.2")->difference.mean, 0.05, 1e-12);
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

TEST(Comparison, TakesTheReferenceThatHasMostOfTheSettings) {
  const auto to_joint =
      differences_to_joint({run("joint", 0, 0.90, {}), run("joint clip=1", 0, 0.80, {}),
                            run("agm alpha=1", 0, 0.93, {}), run("agm alpha=1 clip=1", 0, 0.93, {})});
  EXPECT_NEAR(to_joint.at("agm alpha=1")->difference.mean, 0.03, 1e-12);
  EXPECT_NEAR(to_joint.at("agm alpha=1 clip=1")->difference.mean, 0.13, 1e-12);
  EXPECT_NEAR(to_joint.at("joint clip=1")->difference.mean, -0.10, 1e-12) << "it is joint training and more";
  EXPECT_FALSE(to_joint.at("joint").has_value());
}

TEST(Comparison, StaysWithinAConditionAndRanksInIt) {
  std::vector<RunResult> runs;
  for (const auto& [condition, score] : std::map<std::string, double>{{"snr=0", 0.5}, {"snr=9", 0.9}}) {
    for (const std::string method : {"joint", "agm", "audio alone"}) {
      const double more = method == "agm" ? score / 10 : 0;
      runs.push_back(run(method + " " + condition, 0, score + more, {{"audio", 0.4}},
                         method == "audio alone" ? "audio" : ""));
      runs.back().condition = condition;
    }
  }
  const auto methods = compare(std::move(runs));
  std::vector<std::string> order;
  for (const MethodSummary& method : methods) order.push_back(method.condition + ": " + method.name);
  EXPECT_EQ(order, (std::vector<std::string>{"snr=0: agm", "snr=0: joint", "snr=0: audio alone", "snr=9: agm",
                                             "snr=9: joint", "snr=9: audio alone"}));
  EXPECT_NEAR(methods[0].to_joint->difference.mean, 0.05, 1e-12);
  EXPECT_NEAR(methods[3].to_joint->difference.mean, 0.09, 1e-12);
  EXPECT_NEAR(methods[1].gaps.at("audio").difference.mean, 0.1, 1e-12);
  EXPECT_NEAR(methods[4].gaps.at("audio").difference.mean, 0.5, 1e-12);
}

TEST(Comparison, CorrectsForAllComparisons) {
  std::vector<RunResult> runs;
  for (const int seed : {0, 1, 2}) {
    runs.push_back(run("joint", seed, 0.8, {}));
    runs.push_back(run("agm", seed, 0.9 + 0.01 * seed, {}));
    runs.push_back(run("agm alpha=2", seed, 0.81 + 0.01 * seed, {}));
  }
  runs.push_back(run("agm alpha=3", 0, 0.9, {}));  // no test, and not counted
  const auto to_joint = differences_to_joint(std::move(runs));
  EXPECT_LT(to_joint.at("agm")->p, to_joint.at("agm alpha=2")->p);
  EXPECT_NEAR(to_joint.at("agm")->adjusted_p, 2 * to_joint.at("agm")->p, 1e-15);
  EXPECT_NEAR(to_joint.at("agm alpha=2")->adjusted_p, to_joint.at("agm alpha=2")->p, 1e-15);
  EXPECT_TRUE(to_joint.at("agm")->is_significant());
  EXPECT_FALSE(to_joint.at("agm alpha=2")->is_significant());
  EXPECT_FALSE(to_joint.at("agm alpha=3")->is_significant());
}

TEST(Comparison, SelectsTheSettingThatIsBestOnTheValidationSplit) {
  std::vector<RunResult> runs;
  const auto add = [&](const std::string& group, double validation, double test, const std::string& fusion) {
    runs.push_back(run(group, 0, test, {}, "", fusion));
    runs.back().validation.score = validation;
  };
  add("agm alpha=1", 0.7, 0.9, "concat");
  add("agm alpha=2", 0.8, 0.1, "concat");
  add("agm alpha=3", std::numeric_limits<double>::quiet_NaN(), 0.9, "concat");
  add("agm alpha=1 sum", 0.6, 0.9, "sum");
  add("joint", 0.9, 0.9, "concat");
  std::vector<std::string> selected;
  for (const MethodSummary& method : compare(std::move(runs))) {
    if (method.is_selected) selected.push_back(method.group);
  }
  EXPECT_EQ(selected, (std::vector<std::string>{"agm alpha=2"}));
}

TEST(Comparison, RanksByTheMeanAndPutsSingleModalitiesLast) {
  const auto methods = compare({run("audio alone", 0, 0.99, {}, "audio"), run("agm", 1, 0.9, {}),
                                run("agm", 0, 0.8, {}), run("joint", 0, 0.84, {}),
                                run("agm alpha=2", 0, std::numeric_limits<double>::quiet_NaN(), {})});
  ASSERT_EQ(methods.size(), 4U);
  EXPECT_EQ(methods[0].group, "agm");
  EXPECT_EQ(methods[0].runs[0].seed, 0);
  EXPECT_EQ(methods[0].runs[1].seed, 1);
  EXPECT_EQ(methods[1].group, "joint");
  EXPECT_EQ(methods[2].group, "agm alpha=2") << "it has no score";
  EXPECT_EQ(methods[3].group, "audio alone");
}

}  // namespace
}  // namespace poise
