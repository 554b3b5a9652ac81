#include "poise/tokens.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace {

using poise::mean_token;

TEST(Tokens, TheMeanIsOverASamplesOwn) {
  const auto tokens = at::tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}).view({2, 2, 2});
  EXPECT_TRUE(at::equal(mean_token(tokens, at::tensor({2, 1}, at::kLong)),
                        at::tensor({2.0, 3.0, 5.0, 6.0}).view({2, 2})));
  EXPECT_TRUE(at::equal(mean_token(tokens, {}), at::tensor({2.0, 3.0, 6.0, 7.0}).view({2, 2})));
  EXPECT_TRUE(at::equal(mean_token(tokens, at::tensor({0, 2}, at::kLong))[0], at::zeros({2})));
}

TEST(Tokens, PaddingHasNoInfluence) {
  auto tokens = at::ones({1, 3, 2});
  tokens[0][2].fill_(std::numeric_limits<float>::quiet_NaN());
  tokens.requires_grad_();
  const auto mean = mean_token(tokens, at::tensor({2}, at::kLong));
  mean.sum().backward();
  EXPECT_TRUE(at::equal(mean, at::ones({1, 2})));
  EXPECT_TRUE(at::equal(tokens.grad()[0], at::tensor({0.5, 0.5, 0.5, 0.5, 0.0, 0.0}).view({3, 2})));
}

TEST(Tokens, FeaturesStayWhatTheyAre) {
  const auto features = at::randn({3, 4});
  EXPECT_TRUE(mean_token(features, {}).is_same(features));
}

}  // namespace
