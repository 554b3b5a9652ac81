#include <cmath>

#include "poise/conformance_test.h"
#include "poise/testing_encoder.h"

namespace {

using namespace poise::testing;
using Shape = std::vector<std::int64_t>;

const std::string small = "width = 12\nheads = 3\nlayers = 2\nfeed_forward = 20\n";
const std::string small_without_dropout = small + "dropout = 0.0\n";
const Shape seven_steps = {7, 5};

std::string readout(const std::string& name) { return "readout = '" + name + "'\n"; }

class TransformerReadout : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static std::string options() { return small_without_dropout + readout(GetParam()); }
};

TEST_P(TransformerReadout, HasItsWidthAndAGradientForEveryParameter) {
  expect_width_and_gradients(options(), seven_steps, 12, true);
}
TEST_P(TransformerReadout, EncodesRowsIndependently) {
  expect_independent_rows(options(), seven_steps, true);
}
TEST_P(TransformerReadout, ComputesTheSameInBothModes) { expect_modes(options(), seven_steps, true, true); }
TEST_P(TransformerReadout, IsNotChangedByPadding) {
  expect_padding_changes_nothing(options(), seven_steps);
  expect_padding_changes_nothing(options() + "positions = true\n", seven_steps);
}
TEST_P(TransformerReadout, IsConstantWhenAbsentAndOfOneLength) {
  expect_constant_when_absent(options(), seven_steps);
  expect_constant_when_absent(options() + "positions = true\n", seven_steps);
}

INSTANTIATE_TEST_SUITE_P(Readouts, TransformerReadout, ::testing::Values("mean", "first", "tokens"));

/// The formula for the steps [n, F] of one sample, head by head; [n, width].
torch::Tensor reference(const poise::Encoder& encoder, const torch::Tensor& input, std::int64_t heads,
                        bool has_positions) {
  const auto p = encoder.named_parameters();
  const auto width = encoder.width();
  const auto linear = [&](const torch::Tensor& x, const std::string& name) {
    return x.matmul(p[name + ".weight"].t()) + p[name + ".bias"];
  };
  const auto norm = [&](const torch::Tensor& x, const std::string& name) {
    const auto centred = x - x.mean(1, true);
    const auto variance = centred.square().mean(1, true);
    return centred / (variance + 1e-5).sqrt() * p[name + ".weight"] + p[name + ".bias"];
  };
  const auto attended = [&](const torch::Tensor& qkv) {
    const auto columns = width / heads;
    std::vector<torch::Tensor> parts;
    for (std::int64_t j = 0; j < heads; ++j) {
      const auto q = qkv.narrow(1, j * columns, columns);
      const auto k = qkv.narrow(1, width + j * columns, columns);
      const auto v = qkv.narrow(1, 2 * width + j * columns, columns);
      const auto weights = (q.matmul(k.t()) / std::sqrt(static_cast<double>(columns))).exp();
      parts.push_back((weights / weights.sum(1, true)).matmul(v));
    }
    return torch::cat(parts, 1);
  };

  auto x = input.matmul(p["projection.weight"].t());
  if (has_positions) {
    auto position = torch::zeros({x.size(0), width}, torch::kFloat64);
    for (std::int64_t t = 0; t < x.size(0); ++t) {
      for (std::int64_t c = 0; c < width; ++c) {
        const auto even = static_cast<double>(c - c % 2);
        const double angle = static_cast<double>(t) / std::pow(10000.0, even / static_cast<double>(width));
        position[t][c] = c % 2 == 0 ? std::sin(angle) : std::cos(angle);
      }
    }
    x = x + position;
  }
  for (int i = 1; p.contains("layer" + std::to_string(i) + ".qkv.weight"); ++i) {
    const auto layer = "layer" + std::to_string(i) + ".";
    x = norm(x + linear(attended(linear(x, layer + "qkv")), layer + "out"), layer + "attention_norm");
    const auto hidden = linear(x, layer + "first").clamp_min(0);
    x = norm(x + linear(hidden, layer + "second"), layer + "feed_forward_norm");
  }
  return x;
}

/// What `name` makes of the steps of one sample.
torch::Tensor read(const std::string& name, const torch::Tensor& steps) {
  if (name == "tokens") return steps;
  return name == "first" ? steps[0] : steps.mean(0);
}

TEST_P(TransformerReadout, ComputesItsFormulaOnTheStepsOfEachSample) {
  const torch::NoGradGuard no_grad;
  struct Case {
    const char* options;
    std::int64_t heads;
    bool has_positions;
  };
  for (const auto& [given, heads, has_positions] :
       {Case{"", 3, false}, Case{"positions = true\n", 3, true},
        Case{"positions = true\nwidth = 9\nheads = 1\nlayers = 1\nfeed_forward = 4\n", 1, true}}) {
    const bool is_own = std::string(given).find("width") != std::string::npos;
    const auto table = is_own ? given + readout(GetParam()) + "dropout = 0.0\n"
                              : small_without_dropout + readout(GetParam()) + given;
    const auto encoder = trained(table, seven_steps, true);
    encoder->to(torch::kFloat64);
    const auto input = samples(seven_steps, 8).to(torch::kFloat64);
    const auto lengths = lengths_of(seven_steps, 8, true);
    const auto features = encoder->forward(input, lengths);
    for (std::int64_t b = 0; b < 8; ++b) {
      const auto n = lengths[b].item<std::int64_t>();
      const auto expected =
          read(GetParam(), reference(*encoder, input[b].narrow(0, 0, n), heads, has_positions));
      auto actual = features[b];
      if (encoder->gives_tokens()) {
        EXPECT_EQ(actual.narrow(0, n, 7 - n).count_nonzero().item<std::int64_t>(), 0) << "padding";
        actual = actual.narrow(0, 0, n);
      }
      EXPECT_LT(difference(actual, expected), 1e-10) << table << n << " steps";
    }
  }
}

TEST_P(TransformerReadout, ReadsThePaddingWithoutAMask) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options() + "mask = false\n", seven_steps, true);
  encoder->to(torch::kFloat64);
  const auto input = samples(seven_steps, 8).to(torch::kFloat64);
  const auto features = encoder->forward(input, lengths_of(seven_steps, 8, true));
  for (std::int64_t b = 0; b < 8; ++b) {
    const auto expected = read(GetParam(), reference(*encoder, input[b], 3, false));
    EXPECT_LT(difference(features[b], expected), 1e-10) << b;
  }
}

/// Also where the padding is no number.
TEST_P(TransformerReadout, HasTheGradientOfItsFormula) {
  const auto encoder = trained(options(), seven_steps, true);
  encoder->to(torch::kFloat64);
  const auto lengths = lengths_of(seven_steps, 8, true);
  const auto padding = padding_of(7, lengths).unsqueeze(2);
  const auto input = samples(seven_steps, 8).to(torch::kFloat64).masked_fill(padding, std::nan(""));
  const auto features = encoder->forward(input, lengths);
  const auto direction = torch::randn_like(features);
  (features * direction).sum().backward();
  std::vector<torch::Tensor> gradients;
  for (const auto& parameter : encoder->parameters()) gradients.push_back(parameter.grad().clone());

  encoder->zero_grad();
  auto value = torch::zeros({}, torch::kFloat64);
  for (std::int64_t b = 0; b < 8; ++b) {
    const auto n = lengths[b].item<std::int64_t>();
    const auto expected = read(GetParam(), reference(*encoder, input[b].narrow(0, 0, n), 3, false));
    const auto own = encoder->gives_tokens() ? direction[b].narrow(0, 0, n) : direction[b];
    value = value + (expected * own).sum();
  }
  value.backward();
  const auto named = encoder->named_parameters();
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    EXPECT_LT(difference(gradients[i], named[i].value().grad()), 1e-9) << named[i].key();
  }
}

TEST_P(TransformerReadout, GivesZerosForNoStep) {
  const auto encoder = trained(options(), seven_steps, true);
  const auto lengths = torch::tensor({3, 0, 7}, torch::kInt64);
  const auto features = encoder->forward(samples(seven_steps, 3), lengths);
  EXPECT_TRUE(features.isfinite().all().item<bool>());
  EXPECT_TRUE(torch::equal(features[1], torch::zeros_like(features[1])));
  EXPECT_GT(features[0].abs().max().item<double>(), 0);
  (features * torch::randn_like(features)).sum().backward();
  expect_gradients(*encoder);

  const auto none = torch::zeros({2}, torch::kInt64);
  const auto of_none = encoder->forward(torch::zeros({2, 0, 5}), none);
  EXPECT_EQ(of_none.sizes(), encoder->gives_tokens() ? Shape({2, 0, 12}) : Shape({2, 12}));
  EXPECT_EQ(of_none.count_nonzero().item<std::int64_t>(), 0);
}

TEST(Transformer, SaysThatItsModesDifferWithDropout) { expect_modes(small, seven_steps, false, true); }

/// Under a mask, zeros of no step differ from zeros of some; where padding is read, the length plays no part.
TEST(Transformer, SaysWhetherItIsConstantWhenAbsent) {
  const torch::NoGradGuard no_grad;
  for (const char* name : {"mean", "first"}) {
    const auto options = small_without_dropout + readout(name);
    EXPECT_FALSE(trained(options, seven_steps, true)->constant_when_absent());
    EXPECT_FALSE(
        trained(options + "mask = false\npositions = true", seven_steps, true)->constant_when_absent());

    expect_constant_when_absent(options + "mask = false", seven_steps, true);
    const auto encoder = trained(options + "mask = false", seven_steps, true);
    const auto one = torch::ones({1}, torch::kInt64);
    const auto expected = encoder->forward(torch::zeros({1, 7, 5}), 7 * one);
    for (const std::int64_t steps : {1, 2, 30}) {
      EXPECT_LT(difference(encoder->forward(torch::zeros({1, steps, 5}), steps * one), expected), 1e-5)
          << steps;
    }
  }
  const auto tokens = small_without_dropout + readout("tokens");
  EXPECT_FALSE(trained(tokens, seven_steps, true)->constant_when_absent());
  EXPECT_FALSE(trained(tokens + "mask = false", seven_steps, true)->constant_when_absent());
}

TEST(Transformer, HasThePublishedNumberOfParameters) {
  std::int64_t total = 2304 * 2 + 2;  // the head of UR-Funny, late
  for (const std::int64_t columns : {371, 81, 300}) {
    auto encoder = make<poise::Encoder>();
    encoder->build({.name = "modality", .shape = {1, columns}, .is_sequence = true});
    EXPECT_EQ(encoder->width(), 768);
    total += count_parameters(*encoder);
  }
  EXPECT_EQ(total, 132917762);
}

/// Each layer as PyTorch's TransformerEncoderLayer, the projection as its Linear and Conv1d.
TEST(Transformer, StartsAsPyTorchs) {
  torch::manual_seed(3);
  auto encoder = make<poise::Encoder>("width = 64\nlayers = 1\nfeed_forward = 128");
  encoder->build({.name = "text", .shape = {9, 48}, .is_sequence = true});
  const auto p = encoder->named_parameters();
  const auto expect_uniform = [&](const std::string& name, double bound) {
    const auto value = p[name].detach().to(torch::kFloat64) / bound;
    const auto n = static_cast<double>(value.numel());
    EXPECT_LE(value.abs().max().item<double>(), 1 + 1e-6) << name;
    // n entries estimate the mean square 1/3 within sqrt(4/45/n): 5 times that.
    EXPECT_NEAR(value.square().mean().item<double>(), 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n)) << name;
  };
  expect_uniform("projection.weight", 1 / std::sqrt(48.0));
  expect_uniform("layer1.qkv.weight", std::sqrt(6.0 / (64 + 192)));
  expect_uniform("layer1.out.weight", 1 / std::sqrt(64.0));
  expect_uniform("layer1.first.weight", 1 / std::sqrt(64.0));
  expect_uniform("layer1.first.bias", 1 / std::sqrt(64.0));
  expect_uniform("layer1.second.weight", 1 / std::sqrt(128.0));
  expect_uniform("layer1.second.bias", 1 / std::sqrt(128.0));
  for (const char* name : {"qkv.bias", "out.bias", "attention_norm.bias", "feed_forward_norm.bias"}) {
    EXPECT_EQ(p[std::string("layer1.") + name].count_nonzero().item<std::int64_t>(), 0) << name;
  }
  for (const char* name : {"attention_norm.weight", "feed_forward_norm.weight"}) {
    EXPECT_TRUE(torch::equal(p[std::string("layer1.") + name], torch::ones({64}))) << name;
  }
}

TEST(Transformer, RefusesWhatItCannotUse) {
  expect_refused<poise::Encoder>("depth = 2", "depth");
  expect_refused<poise::Encoder>("layers = 0", "layers is 0");
  expect_refused<poise::Encoder>("dropout = 1.0", "dropout is 1");
  expect_refused<poise::Encoder>("readout = 'last'", "readout is \"last\"");
  expect_refused<poise::Encoder>("width = 12\nheads = 5",
                                 "heads is 5, but must divide the width, which is 12.");
  try {
    make<poise::Encoder>()->build({.name = "image", .shape = {3, 28, 28}});
    FAIL() << "accepted";
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    EXPECT_EQ(
        std::string(error.what()),
        "transformer reads sequences [L, F], and modality 'image' is not one: choose another encoder for it");
  }
}

}  // namespace

POISE_CONFORMANCE("width = 16\nheads = 2\nlayers = 2\nfeed_forward = 32");
