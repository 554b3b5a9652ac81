#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "poise/encoder.h"
#include "poise/intermediate.h"
#include "poise/testing.h"

/// What must hold for every encoder. Each check builds the encoder anew, for samples of `shape`.
namespace poise::testing {

inline torch::Tensor samples(const std::vector<std::int64_t>& shape, std::int64_t rows) {
  std::vector<std::int64_t> sizes = shape;
  sizes.insert(sizes.begin(), rows);
  return torch::randn(sizes);
}

/// [rows]: T, T - 1, ..., 1, and again from T. Undefined where the samples are no sequences.
inline torch::Tensor lengths_of(const std::vector<std::int64_t>& shape, std::int64_t rows, bool is_sequence) {
  if (!is_sequence) return {};
  return shape[0] - torch::arange(rows, torch::kInt64).remainder(shape[0]);
}

/// An encoder whose biases are not 0, with the buffers that some training passes leave.
inline std::shared_ptr<Encoder> trained(const std::string& options, const std::vector<std::int64_t>& shape,
                                        bool is_sequence = false) {
  torch::manual_seed(7);
  auto encoder = make<Encoder>(options);
  encoder->build({.name = is_sequence ? "text" : "image", .shape = shape, .is_sequence = is_sequence});
  const torch::NoGradGuard no_grad;
  for (auto& parameter : encoder->parameters()) {
    if (parameter.dim() == 1) parameter.add_(0.1 * torch::randn_like(parameter));
  }
  encoder->train();
  for (int i = 0; i < 3; ++i) encoder->forward(samples(shape, 6), lengths_of(shape, 6, is_sequence));
  return encoder;
}

inline void expect_width_and_gradients(const std::string& options, const std::vector<std::int64_t>& shape,
                                       std::int64_t width, bool is_sequence = false) {
  const auto encoder = trained(options, shape, is_sequence);
  EXPECT_EQ(encoder->width(), width);
  const auto features = encoder->forward(samples(shape, 6), lengths_of(shape, 6, is_sequence));
  const std::vector<std::int64_t> sizes = {6, width};
  const std::vector<std::int64_t> sizes_of_tokens = {6, shape[0], width};
  EXPECT_EQ(features.sizes(), encoder->gives_tokens() ? sizes_of_tokens : sizes);
  (features * torch::randn_like(features)).sum().backward();
  expect_gradients(*encoder);
}

/// In evaluation mode a row does not depend on the rows beside it, and may be the only one.
inline void expect_independent_rows(const std::string& options, const std::vector<std::int64_t>& shape,
                                    bool is_sequence = false) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape, is_sequence);
  encoder->eval();
  auto input = samples(shape, 6);
  const auto lengths = lengths_of(shape, 6, is_sequence);
  const auto features = encoder->forward(input, lengths);
  const auto alone = encoder->forward(input.narrow(0, 2, 1), is_sequence ? lengths.narrow(0, 2, 1) : lengths);
  EXPECT_LT(difference(alone, features.narrow(0, 2, 1)), 1e-5);
  input.narrow(0, 3, 3).mul_(-5);
  EXPECT_TRUE(same_bits(encoder->forward(input, lengths).narrow(0, 0, 3), features.narrow(0, 0, 3)));
}

/// Training and evaluation mode compute the same bits and change no buffer, where the encoder says so.
inline void expect_modes(const std::string& options, const std::vector<std::int64_t>& shape, bool agree,
                         bool is_sequence = false) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape, is_sequence);
  ASSERT_EQ(encoder->modes_agree(), agree);
  std::vector<torch::Tensor> before;
  for (const auto& buffer : encoder->buffers()) before.push_back(buffer.clone());
  const auto input = samples(shape, 6);
  const auto lengths = lengths_of(shape, 6, is_sequence);
  encoder->eval();
  const auto evaluation = encoder->forward(input, lengths);
  encoder->train();
  const auto training = encoder->forward(input, lengths);
  const auto after = encoder->buffers();
  bool same = same_bits(training, evaluation);
  for (std::size_t i = 0; i < before.size(); ++i) same = same && same_bits(before[i], after[i]);
  EXPECT_EQ(same, agree);
}

/// In evaluation mode every absent row has the same features.
inline void expect_constant_when_absent(const std::string& options, const std::vector<std::int64_t>& shape,
                                        bool is_sequence = false) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape, is_sequence);
  ASSERT_TRUE(encoder->constant_when_absent());
  encoder->eval();
  const auto features =
      encoder->forward(encoder->absent(samples(shape, 6)), lengths_of(shape, 6, is_sequence));
  EXPECT_GT(features.abs().max().item<double>(), 0);
  EXPECT_TRUE(same_bits(features, features.narrow(0, 0, 1).expand_as(features)));
}

/// Stage by stage and then pool() is forward() bit for bit, in both modes, and every stage has its channels.
inline void expect_stages(const std::string& options, const std::vector<std::int64_t>& shape) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape);
  auto* staged = dynamic_cast<StagedEncoder*>(encoder.get());
  ASSERT_NE(staged, nullptr);
  const auto channels = staged->stage_channels();
  ASSERT_FALSE(channels.empty());
  const auto input = samples(shape, 6);
  for (const bool is_training : {true, false}) {
    encoder->train(is_training);
    auto x = input;
    for (std::size_t i = 0; i < channels.size(); ++i) {
      x = staged->stage(i, x);
      EXPECT_EQ(x.size(0), 6);
      EXPECT_EQ(x.size(1), channels[i]) << "after stage " << i;
    }
    EXPECT_TRUE(same_bits(staged->pool(x), encoder->forward(input, {}))) << "is_training " << is_training;
  }
}

/// [B, T] true beyond a sample's length.
inline torch::Tensor padding_of(std::int64_t steps, const torch::Tensor& lengths) {
  return torch::arange(steps, torch::kInt64).ge(lengths.unsqueeze(1));
}

/// Tokens with zeros beyond each sample's length; features that are no tokens as they are.
inline torch::Tensor own_tokens(const torch::Tensor& features, const torch::Tensor& lengths) {
  if (features.dim() != 3) return features;
  return features.masked_fill(padding_of(features.size(1), lengths).unsqueeze(2), 0);
}

/// For sequences, in evaluation mode: what is beyond a sample's length changes no bit of its features, and how far
/// the batch is padded changes them by rounding alone.
inline void expect_padding_changes_nothing(const std::string& options,
                                           const std::vector<std::int64_t>& shape) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape, true);
  encoder->eval();
  const auto input = samples(shape, 6);
  const auto lengths = lengths_of(shape, 6, true);
  const auto features = own_tokens(encoder->forward(input, lengths), lengths);
  auto padding = padding_of(shape[0], lengths);
  while (padding.dim() < input.dim()) padding = padding.unsqueeze(-1);
  for (const double garbage : {0.0, 1e30, std::nan("")}) {
    const auto garbled = encoder->forward(input.masked_fill(padding, garbage), lengths);
    EXPECT_TRUE(same_bits(own_tokens(garbled, lengths), features)) << garbage;
  }

  encoder->to(torch::kFloat64);
  const auto narrow = input.to(torch::kFloat64);
  const auto expected = own_tokens(encoder->forward(narrow, lengths), lengths);
  const auto wide = own_tokens(encoder->forward(torch::cat({narrow, narrow}, 1), lengths), lengths);
  for (std::int64_t b = 0; b < 6; ++b) {
    const auto steps = lengths[b].item<std::int64_t>();
    const auto of_row = [&](const torch::Tensor& batch) {
      return batch.dim() == 3 ? batch[b].narrow(0, 0, steps) : batch[b];
    };
    const auto alone =
        encoder->forward(narrow.narrow(0, b, 1).narrow(1, 0, steps), lengths.narrow(0, b, 1))[0];
    EXPECT_LT(difference(alone, of_row(expected)), 1e-12) << steps << " steps, alone";
    EXPECT_LT(difference(of_row(wide), of_row(expected)), 1e-12) << steps << " steps, padded wider";
  }
}

}  // namespace poise::testing
