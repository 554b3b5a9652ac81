#include "poise/suggest.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace poise {
namespace {

using Names = std::vector<std::string>;

TEST(SuggestTest, NearestFirstAndAtMostAThirdOfTheLettersAway) {
  // One letter of three: missing, added, changed.
  EXPECT_EQ(near_names("agn", {"agm"}), Names{"agm"});
  EXPECT_EQ(near_names("ag", {"agm"}), Names{"agm"});
  EXPECT_EQ(near_names("agmm", {"agm"}), Names{"agm"});
  EXPECT_EQ(near_names("xyz", {"agm"}), Names{});
  // Neighbours that changed places are one change.
  EXPECT_EQ(near_names("alhpa", {"alpha"}), Names{"alpha"});
  // Two changes are too far for 5 letters, near enough for 6.
  EXPECT_EQ(near_names("elpho", {"alpha"}), Names{});
  EXPECT_EQ(near_names("mexoot", {"maxout"}), Names{"maxout"});
  EXPECT_EQ(near_names("epoch_", {"epochss", "epochs", "epoch"}), (Names{"epoch", "epochs", "epochss"}));
}

TEST(SuggestTest, AtMostThreeNames) {
  EXPECT_EQ(near_names("a", {"d", "c", "b", "e"}), (Names{"b", "c", "d"}));
}

TEST(SuggestTest, AsTheEndOfASentence) {
  EXPECT_EQ(did_you_mean("agn", {"agm", "ogn", "joint"}), "; did you mean 'agm' or 'ogn'?");
  EXPECT_EQ(did_you_mean("agn", {"joint"}), "");
}

}  // namespace
}  // namespace poise
