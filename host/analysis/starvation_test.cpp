#include "analysis/starvation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "analysis/comparison.h"
#include "analysis/test_runs.h"

namespace poise {
namespace {

using testing::run;

std::string headline(std::vector<RunResult> runs) {
  return starvation(compare(std::move(runs)), {"audio", "image"});
}

TEST(Starvation, NamesTheModalityWithTheLargestGap) {
  // audio: 0.94 - 0.40 = 0.54 and 0.96 - 0.44 = 0.52, mean 53.0 points, deviation 1.41; half width of the
  // interval 12.7 points.
  EXPECT_EQ(
      headline({run("joint", 0, 0.9, {{"audio", 0.40}, {"image", 0.88}}),
                run("joint", 1, 0.9, {{"audio", 0.44}, {"image", 0.90}}),
                run("audio alone", 0, 0.94, {}, "audio"), run("audio alone", 1, 0.96, {}, "audio"),
                run("image alone", 0, 0.91, {}, "image"), run("image alone", 1, 0.89, {}, "image")}),
      "Joint training starves audio: shown alone to the joint model it reaches 42.0 %, trained alone 95.0 % "
      "(gap 53.0 points, 2 seeds).");
}

TEST(Starvation, CountsOnlySeedsThatBothHave) {
  // Seeds 0 and 1 are common; the 0.00 of seed 7 and the 0.10 of seed 8 have no partner.
  EXPECT_EQ(
      headline({run("joint", 0, 0.9, {{"audio", 0.40}}), run("joint", 1, 0.9, {{"audio", 0.44}}),
                run("joint", 7, 0.9, {{"audio", 0.00}}), run("audio alone", 0, 0.94, {}, "audio"),
                run("audio alone", 1, 0.96, {}, "audio"), run("audio alone", 8, 0.10, {}, "audio")}),
      "Joint training starves audio: shown alone to the joint model it reaches 42.0 %, trained alone 95.0 % "
      "(gap 53.0 points, 2 seeds). No run with the same seeds trains image alone.");
}

TEST(Starvation, SaysWhenTheGapIsWithinTheNoise) {
  // Differences 0.04 and 0.01: mean 2.5 points, deviation 2.1, half width 12.706 * 2.12 / sqrt(2) = 19.
  EXPECT_EQ(headline({run("joint", 0, 0.9, {{"audio", 0.90}, {"image", 0.90}}),
                      run("joint", 1, 0.9, {{"audio", 0.92}, {"image", 0.90}}),
                      run("audio alone", 0, 0.94, {}, "audio"), run("audio alone", 1, 0.93, {}, "audio"),
                      run("image alone", 0, 0.90, {}, "image"), run("image alone", 1, 0.90, {}, "image")}),
            "Joint training starves no modality beyond the noise of its seeds: the largest gap is that of "
            "audio, 2.5 points with a deviation of 2.1 over 2 seeds (shown alone to the joint model it "
            "reaches 91.0 %, trained alone 93.5 %).");
}

TEST(Starvation, ThatNothingStarvesIsSaidOfOneSeedToo) {
  EXPECT_EQ(
      headline({run("joint", 0, 0.9, {{"audio", 0.95}, {"image", 0.92}}),
                run("audio alone", 0, 0.94, {}, "audio"), run("image alone", 0, 0.90, {}, "image")}),
      "Joint training starves no modality beyond the noise of its seeds: the largest gap is that of audio, "
      "-1.0 points of one seed (shown alone to the joint model it reaches 95.0 %, trained alone 94.0 %).");
}

TEST(Starvation, OfOneSeedIsNotCertain) {
  EXPECT_EQ(
      headline({run("joint", 0, 0.9, {{"audio", 0.40}, {"image", 0.88}}),
                run("audio alone", 0, 0.95, {}, "audio"), run("image alone", 0, 0.91, {}, "image")}),
      "Joint training seems to starve audio: shown alone to the joint model it reaches 40.0 %, trained alone "
      "95.0 % (gap 55.0 points, of one seed, so its noise is unknown).");
}

TEST(Starvation, CannotBeToldWithoutAModalityAlone) {
  EXPECT_EQ(headline({run("joint", 0, 0.9, {{"audio", 0.4}, {"image", 0.9}})}),
            "Whether joint training starves a modality cannot be said: no run with the same seeds trains one "
            "alone.");
}

TEST(Starvation, CannotBeToldWithoutJointTraining) {
  EXPECT_EQ(headline({run("agm", 0, 0.9, {{"audio", 0.4}}), run("audio alone", 0, 0.9, {}, "audio")}),
            "Which modality is starved cannot be said: no run trains all of them jointly.");
}

TEST(Starvation, SpeaksOfEachJointTrainingLargestGapFirst) {
  const std::string text =
      headline({run("joint concat", 0, 0.9, {{"audio", 0.8}, {"image", 0.9}}),
                run("joint maxout", 0, 0.9, {{"audio", 0.4}, {"image", 0.9}}, "", "maxout"),
                run("audio alone", 0, 0.95, {}, "audio"), run("image alone", 0, 0.9, {}, "image")});
  EXPECT_EQ(text,
            "Training \"joint maxout\" seems to starve audio: shown alone to the joint model it reaches 40.0 "
            "%, trained alone 95.0 % (gap 55.0 points, of one seed, so its noise is unknown). "
            "Training \"joint concat\" seems to starve audio: shown alone to the joint model it reaches 80.0 "
            "%, trained alone 95.0 % (gap 15.0 points, of one seed, so its noise is unknown).");
}

TEST(Starvation, SpeaksOfThreeJointTrainingsAtMost) {
  std::vector<RunResult> runs = {run("audio alone", 0, 0.95, {}, "audio"),
                                 run("image alone", 0, 0.9, {}, "image")};
  for (const std::string fusion : {"a", "b", "c", "d", "e"}) {
    const double audio = 0.9 - 0.1 * (fusion[0] - 'a');
    runs.push_back(run("joint " + fusion, 0, 0.9, {{"audio", audio}, {"image", 0.9}}, "", fusion));
  }
  const std::string text = headline(std::move(runs));
  EXPECT_TRUE(text.starts_with("Training \"joint e\" seems to starve audio")) << text;
  EXPECT_EQ(text.find("joint b"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with(" The gaps of 2 more are in the table.")) << text;
}

TEST(Starvation, SaysNothingOfAVariantOfJointTraining) {
  const std::string text =
      headline({run("joint", 0, 0.9, {{"audio", 0.40}, {"image", 0.88}}),
                run("joint clip=1", 0, 0.9, {{"audio", 0.10}, {"image", 0.88}}),
                run("audio alone", 0, 0.95, {}, "audio"), run("image alone", 0, 0.91, {}, "image")});
  EXPECT_TRUE(text.starts_with(
      "Joint training seems to starve audio: shown alone to the joint model it reaches 40.0 %"))
      << text;
  EXPECT_EQ(text.find("clip"), std::string::npos) << text;
}

}  // namespace
}  // namespace poise
