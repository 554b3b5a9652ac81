#include <cmath>
#include <limits>
#include <numbers>

#include "poise/conformance_test.h"
#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/testing_fusion.h"

namespace {

using namespace poise::testing;

constexpr const char* small = "width = 8\nheads = 2\nlayers = 2\nfeedforward = 3";
constexpr std::int64_t rows = 3;

/// Audio comes as a sequence, image as features, text as a sequence in which nothing is padded.
poise::FusionSpec three() { return spec_of({"audio", "image", "text"}, {5, 3, 4}); }

struct Input {
  std::vector<torch::Tensor> features;
  std::vector<torch::Tensor> lengths;
};

Input input_of(torch::Dtype type) {
  return {{torch::randn({rows, 4, 5}, type), torch::randn({rows, 3}, type), torch::randn({rows, 2, 4}, type)},
          {torch::tensor({4, 2, 1}, torch::kLong), {}, {}}};
}

/// A fusion in which no parameter is 0 or 1.
std::shared_ptr<poise::Fusion> fusion_of(const std::string& options, torch::Dtype type,
                                         const poise::FusionSpec& spec = three()) {
  auto fusion = built(options, spec, 5);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : fusion->parameters()) parameter.add_(0.1 * torch::randn_like(parameter));
  fusion->to(type);
  return fusion;
}

/// Sample b alone with the tokens that are its own: no mask, head by head, every token through every layer.
std::pair<torch::Tensor, torch::Tensor> reference(const poise::Fusion& fusion, const Input& input,
                                                  std::int64_t b) {
  const auto p = fusion.named_parameters();
  const auto linear = [&](const torch::Tensor& x, const std::string& name) {
    return x.matmul(p[name + ".weight"].t()) + p[name + ".bias"];
  };
  const auto norm = [&](const torch::Tensor& x, const std::string& name) {
    const auto centred = x - x.mean(1, true);
    const auto variance = centred.square().mean(1, true);
    return centred / (variance + 1e-5).sqrt() * p[name + ".weight"] + p[name + ".bias"];
  };
  std::vector<torch::Tensor> tokens = {p["class_token"].unsqueeze(0)};
  for (std::size_t m = 0; m < 3; ++m) {
    const std::string name = three().modalities[m];
    auto f = input.features[m][b];
    const bool is_sequence = f.dim() == 2;
    if (!is_sequence) f = f.unsqueeze(0);
    if (input.lengths[m].defined()) f = f.narrow(0, 0, input.lengths[m][b].item<std::int64_t>());
    const auto t = f.matmul(p["projection_" + name + ".weight"].t()) + p["embedding_" + name];
    for (std::int64_t i = 0; is_sequence && i < t.size(0); ++i) {
      for (std::int64_t j = 0; j < 8; ++j) {
        const double angle = static_cast<double>(i) / std::pow(10000, static_cast<double>(j - j % 2) / 8);
        t[i][j].add_(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
    tokens.push_back(t);
  }
  auto x = torch::cat(tokens, 0);
  for (const std::string layer : {"layer1.", "layer2."}) {
    const auto n = norm(x, layer + "attention_norm");
    const auto q = n.matmul(p[layer + "query.weight"].t());
    const auto kv = n.matmul(p[layer + "key_value.weight"].t());
    std::vector<torch::Tensor> heads;
    for (const std::int64_t from : {0, 4}) {
      const auto weights = (q.narrow(1, from, 4).matmul(kv.narrow(1, from, 4).t()) / 2).exp();
      heads.push_back(weights.matmul(kv.narrow(1, 8 + from, 4)) / weights.sum(1, true));
    }
    x = x + torch::cat(heads, 1).matmul(p[layer + "output.weight"].t());
    const auto hidden = linear(norm(x, layer + "feedforward_norm"), layer + "first");
    x = x + linear(0.5 * hidden * (1 + (hidden / std::numbers::sqrt2).erf()), layer + "second");
  }
  const auto feature = norm(x, "norm")[0];
  return {linear(feature, "head"), feature};
}

TEST(Attention, ComputesItsFormula) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(small, torch::kFloat64);
  EXPECT_TRUE(fusion->takes_tokens());
  EXPECT_EQ(fusion->named_parameters()["layer1.first.weight"].sizes(), (std::vector<std::int64_t>{24, 8}));
  const auto input = input_of(torch::kFloat64);
  const auto output = fusion->forward(input.features, input.lengths);
  for (std::int64_t b = 0; b < rows; ++b) {
    const auto [logits, feature] = reference(*fusion, input, b);
    EXPECT_LT(difference(output.logits[b], logits), 1e-12) << b;
    EXPECT_LT(difference(output.feature[b], feature), 1e-12) << b;
  }
}

/// The input with more padding behind the audio.
Input padded(const Input& input, std::int64_t steps) {
  Input result = input;
  result.features[0] =
      torch::cat({input.features[0], torch::randn({rows, steps, 5}, input.features[0].options())}, 1);
  return result;
}

/// Sample b alone, with no padding at all.
Input alone(const Input& input, std::int64_t b) {
  Input result;
  for (std::size_t m = 0; m < 3; ++m) {
    result.features.push_back(input.features[m].narrow(0, b, 1));
    result.lengths.emplace_back();
  }
  result.features[0] = result.features[0].narrow(1, 0, input.lengths[0][b].item<std::int64_t>());
  return result;
}

TEST(Attention, IsTheSameInBatchesOfDifferentPadding) {
  const torch::NoGradGuard no_grad;
  for (const auto& [type, tolerance] :
       {std::pair{torch::kFloat32, 1e-6}, std::pair{torch::kFloat64, 1e-12}}) {
    const auto fusion = fusion_of(small, type);
    const auto input = input_of(type);
    const auto logits = fusion->forward(input.features, input.lengths).logits;
    const auto longer = padded(input, 7);
    EXPECT_LT(difference(fusion->forward(longer.features, longer.lengths).logits, logits), tolerance);
    std::vector<torch::Tensor> one_by_one;
    for (std::int64_t b = 0; b < rows; ++b) {
      const auto one = alone(input, b);
      one_by_one.push_back(fusion->forward(one.features, one.lengths).logits);
    }
    EXPECT_LT(difference(torch::cat(one_by_one), logits), tolerance);
  }
}

TEST(Attention, IsUntouchedByWhatThePaddingHolds) {
  const auto fusion = fusion_of(small, torch::kFloat32);
  auto input = input_of(torch::kFloat32);
  const auto direction = torch::randn({rows, 4});
  const auto gradients = [&](const Input& given) {
    fusion->zero_grad();
    (fusion->forward(given.features, given.lengths).logits * direction).sum().backward();
    const auto parameters = fusion->parameters();
    std::vector<torch::Tensor> result;
    result.reserve(parameters.size());
    for (const auto& parameter : parameters) result.push_back(parameter.grad().clone());
    return result;
  };
  const auto logits = fusion->forward(input.features, input.lengths).logits;
  const auto expected = gradients(input);
  for (const double garbage :
       {0.0, 1e30, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    Input other = input;
    other.features[0] = input.features[0].clone();
    other.features[0][1].narrow(0, 2, 2).fill_(garbage);
    other.features[0][2].narrow(0, 1, 3).fill_(garbage);
    EXPECT_TRUE(same_bits(fusion->forward(other.features, other.lengths).logits, logits)) << garbage;
    const auto actual = gradients(other);
    for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(same_bits(actual[i], expected[i])) << i;
  }

  input.features[0].requires_grad_();
  gradients(input);
  const auto gradient = input.features[0].grad();
  EXPECT_TRUE(torch::equal(gradient[1].narrow(0, 2, 2), torch::zeros({2, 5})));
  EXPECT_TRUE(torch::equal(gradient[2].narrow(0, 1, 3), torch::zeros({3, 5})));
  EXPECT_GT(gradient[2][0].abs().max().item<double>(), 0);
}

TEST(Attention, HasAGradientForEveryParameterAndEveryModality) {
  const auto fusion = fusion_of(small, torch::kFloat32);
  auto input = input_of(torch::kFloat32);
  for (auto& feature : input.features) feature.requires_grad_();
  const auto output = fusion->forward(input.features, input.lengths);
  (output.logits * torch::randn({rows, 4})).sum().backward();
  expect_gradients(*fusion);
  for (const auto& feature : input.features) EXPECT_GT(feature.grad().abs().max().item<double>(), 0);
}

TEST(Attention, ComputesTheSameInBothModesWithoutDropout) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of(small, torch::kFloat32);
  EXPECT_TRUE(fusion->modes_agree());
  const auto input = input_of(torch::kFloat32);
  const auto training = fusion->forward(input.features, input.lengths).logits;
  fusion->eval();
  EXPECT_TRUE(same_bits(fusion->forward(input.features, input.lengths).logits, training));
}

TEST(Attention, DropsInTrainingAlone) {
  const torch::NoGradGuard no_grad;
  const auto plain = fusion_of(small, torch::kFloat32);
  const auto fusion = fusion_of(std::string(small) + "\ndropout = 0.5", torch::kFloat32);
  EXPECT_FALSE(fusion->modes_agree());
  const auto input = input_of(torch::kFloat32);
  const auto logits = [&](poise::Fusion& of) { return of.forward(input.features, input.lengths).logits; };
  const auto expected = logits(*plain);
  EXPECT_GT(difference(logits(*fusion), expected), 1e-3);
  EXPECT_GT(difference(logits(*fusion), logits(*fusion)), 1e-3);
  fusion->eval();
  EXPECT_TRUE(same_bits(logits(*fusion), expected));
}

TEST(Attention, TakesOneModality) {
  const torch::NoGradGuard no_grad;
  const auto fusion =
      fusion_of(small, torch::kFloat32,
                {.modalities = {"audio"}, .widths = {5}, .stage_channels = {}, .task = three().task});
  const auto output = fusion->forward({torch::randn({1, 5})}, {torch::Tensor()});
  EXPECT_EQ(output.logits.sizes(), (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(output.feature.sizes(), (std::vector<std::int64_t>{1, 8}));
}

TEST(Attention, TakesAnOddWidth) {
  const torch::NoGradGuard no_grad;
  const auto fusion = fusion_of("width = 9\nheads = 3", torch::kFloat32);
  const auto input = input_of(torch::kFloat32);
  EXPECT_EQ(fusion->forward(input.features, input.lengths).feature.size(1), 9);
}

TEST(Attention, IsNotAdditiveAndSaysWhatItsParametersAreFor) {
  const auto fusion = fusion_of(small, torch::kFloat32);
  EXPECT_FALSE(fusion->additive());
  EXPECT_THROW(fusion->share(0, torch::randn({2, 5})), poise::Error);
  expect_roles(*fusion, {{"projection_audio.weight", poise::Role::bypass, {0}},
                         {"embedding_audio", poise::Role::bypass, {0}},
                         {"projection_image.weight", poise::Role::bypass, {1}},
                         {"embedding_image", poise::Role::bypass, {1}},
                         {"projection_text.weight", poise::Role::bypass, {2}},
                         {"embedding_text", poise::Role::bypass, {2}},
                         {"head.weight", poise::Role::head, {}},
                         {"head.bias", poise::Role::head, {}}});
}

TEST(Attention, RefusesWhatItCannotUse) {
  expect_refused<poise::Fusion>("widht = 8", "width");
  expect_refused<poise::Fusion>("width = 0", "width is 0");
  expect_refused<poise::Fusion>("layers = 0", "layers is 0");
  expect_refused<poise::Fusion>("heads = 0", "heads is 0");
  expect_refused<poise::Fusion>("feedforward = 0", "feedforward is 0");
  expect_refused<poise::Fusion>("dropout = 1.0", "dropout is 1");
  expect_refused<poise::Fusion>("width = 8\nheads = 3",
                                "fusion.heads is 3, but must divide fusion.width, which is 8.");
}

}  // namespace

POISE_CONFORMANCE("width = 16\nheads = 2");
