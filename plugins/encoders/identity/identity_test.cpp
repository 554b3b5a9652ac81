#include "poise/conformance_test.h"
#include "poise/testing_encoder.h"

namespace {

using namespace poise::testing;

std::shared_ptr<poise::Encoder> built(const std::string& options, const poise::Modality& modality) {
  auto encoder = make<poise::Encoder>(options);
  encoder->build(modality);
  return encoder;
}

const poise::Modality image = {.name = "image", .shape = {2, 3, 4}};
const poise::Modality text = {.name = "text", .shape = {4, 2}, .is_sequence = true};

TEST(Identity, GivesTheInputFlattenedInItsOrder) {
  const auto encoder = built("", image);
  EXPECT_EQ(encoder->width(), 24);
  EXPECT_FALSE(encoder->gives_tokens());
  const auto input = torch::arange(48, torch::kFloat32).view({2, 2, 3, 4});
  const auto expected = torch::arange(48, torch::kFloat32).view({2, 24});
  EXPECT_TRUE(same_bits(encoder->forward(input, {}), expected));
  const auto as_the_host_gives_it = input.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(same_bits(encoder->forward(as_the_host_gives_it, {}), expected));
}

TEST(Identity, GivesASequencesMeanOverItsLength) {
  const auto encoder = built("", text);
  EXPECT_EQ(encoder->width(), 2);
  EXPECT_FALSE(encoder->gives_tokens());
  const auto input = torch::arange(24, torch::kFloat32).view({3, 4, 2});
  const auto lengths = torch::tensor({4, 1, 0}, torch::kInt64);
  // Rows 0 to 7 by twos; 8 and 9; nothing.
  const auto expected = torch::tensor({3.F, 4.F, 8.F, 9.F, 0.F, 0.F}).view({3, 2});
  EXPECT_TRUE(same_bits(encoder->forward(input, lengths), expected));
}

TEST(Identity, GivesASequenceAsTokens) {
  const auto encoder = built("tokens = true", {.name = "text", .shape = {4, 2, 3}, .is_sequence = true});
  EXPECT_EQ(encoder->width(), 6);
  EXPECT_TRUE(encoder->gives_tokens());
  const auto input = samples({4, 2, 3}, 3);
  auto expected = input.reshape({3, 4, 6}).clone();
  expected[1].narrow(0, 1, 3).zero_();
  expected[2].zero_();
  const auto lengths = torch::tensor({4, 1, 0}, torch::kInt64);
  EXPECT_TRUE(same_bits(encoder->forward(input, lengths), expected));
}

TEST(Identity, GivesAFixedNumberOfStepsAsTokens) {
  const auto encoder = built("tokens = true", {.name = "regions", .shape = {5, 3}});
  EXPECT_EQ(encoder->width(), 3);
  const auto input = samples({5, 3}, 2);
  EXPECT_TRUE(same_bits(encoder->forward(input, {}), input));
}

TEST(Identity, IsNotChangedByPadding) {
  for (const char* options : {"", "tokens = true"}) expect_padding_changes_nothing(options, {7, 5});
}

TEST(Identity, ComputesTheSameInBothModesAndRowByRow) {
  for (const bool is_sequence : {false, true}) {
    expect_modes("", {7, 5}, true, is_sequence);
    expect_independent_rows("", {7, 5}, is_sequence);
  }
}

TEST(Identity, HasNoParameters) {
  EXPECT_TRUE(built("", image)->parameters().empty());
  EXPECT_TRUE(built("", image)->buffers().empty());
}

/// Zeros, whatever the length; but of tokens there are as many as the length says.
TEST(Identity, IsConstantWhenAbsentUnlessItGivesTheTokensOfASequence) {
  for (const auto& modality : {image, text}) {
    const auto encoder = built("", modality);
    EXPECT_TRUE(encoder->constant_when_absent()) << modality.name;
    const auto lengths = modality.is_sequence ? torch::tensor({4, 1, 0}, torch::kInt64) : torch::Tensor();
    const auto features = encoder->forward(encoder->absent(samples(modality.shape, 3)), lengths);
    EXPECT_TRUE(same_bits(features, torch::zeros({3, encoder->width()}))) << modality.name;
  }
  EXPECT_TRUE(built("tokens = true", {.name = "regions", .shape = {5, 3}})->constant_when_absent());
  EXPECT_FALSE(built("tokens = true", text)->constant_when_absent());
}

TEST(Identity, RefusesWhatItCannotUse) {
  expect_refused<poise::Encoder>("width = 4", "width");
  expect_refused<poise::Encoder>("tokens = 1", "tokens must be true or false");
  try {
    built("tokens = true", image);
    FAIL() << "accepted";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_EQ(
        std::string(error.what()),
        "identity with tokens = true reads sequences and [T, F], and modality 'image' is neither: leave "
        "tokens out, or choose another encoder for it");
  }
}

}  // namespace

POISE_CONFORMANCE("");
