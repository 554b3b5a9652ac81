#pragma once

#include <string>
#include <vector>

#include "poise/encoder.h"
#include "poise/testing.h"

/// What must hold for every encoder of images. Each check builds the encoder anew.
namespace poise::testing {

inline torch::Tensor images(const std::vector<std::int64_t>& shape, std::int64_t rows) {
  std::vector<std::int64_t> sizes = shape;
  sizes.insert(sizes.begin(), rows);
  return torch::randn(sizes);
}

/// An encoder whose biases are not 0, with the buffers that some training passes leave.
inline std::shared_ptr<Encoder> trained(const std::string& options, const std::vector<std::int64_t>& shape) {
  torch::manual_seed(7);
  auto encoder = make<Encoder>(options);
  encoder->build({.name = "image", .shape = shape});
  const torch::NoGradGuard no_grad;
  for (auto& parameter : encoder->parameters()) {
    if (parameter.dim() == 1) parameter.add_(0.1 * torch::randn_like(parameter));
  }
  encoder->train();
  for (int i = 0; i < 3; ++i) encoder->forward(images(shape, 6), {});
  return encoder;
}

inline void expect_width_and_gradients(const std::string& options, const std::vector<std::int64_t>& shape,
                                       std::int64_t width) {
  const auto encoder = trained(options, shape);
  EXPECT_EQ(encoder->width(), width);
  const auto features = encoder->forward(images(shape, 6), {});
  EXPECT_EQ(features.sizes(), (std::vector<std::int64_t>{6, width}));
  (features * torch::randn_like(features)).sum().backward();
  expect_gradients(*encoder);
}

/// In evaluation mode a row does not depend on the rows beside it, and may be the only one.
inline void expect_independent_rows(const std::string& options, const std::vector<std::int64_t>& shape) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape);
  encoder->eval();
  auto input = images(shape, 6);
  const auto features = encoder->forward(input, {});
  EXPECT_LT(difference(encoder->forward(input.narrow(0, 2, 1), {}), features.narrow(0, 2, 1)), 1e-5);
  input.narrow(0, 3, 3).mul_(-5);
  EXPECT_TRUE(same_bits(encoder->forward(input, {}).narrow(0, 0, 3), features.narrow(0, 0, 3)));
}

/// Training and evaluation mode compute the same bits and change no buffer, where the encoder says so.
inline void expect_modes(const std::string& options, const std::vector<std::int64_t>& shape, bool agree) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape);
  ASSERT_EQ(encoder->modes_agree(), agree);
  std::vector<torch::Tensor> before;
  for (const auto& buffer : encoder->buffers()) before.push_back(buffer.clone());
  const auto input = images(shape, 6);
  encoder->eval();
  const auto evaluation = encoder->forward(input, {});
  encoder->train();
  const auto training = encoder->forward(input, {});
  const auto after = encoder->buffers();
  bool same = same_bits(training, evaluation);
  for (std::size_t i = 0; i < before.size(); ++i) same = same && same_bits(before[i], after[i]);
  EXPECT_EQ(same, agree);
}

/// In evaluation mode every absent row has the same features.
inline void expect_constant_when_absent(const std::string& options, const std::vector<std::int64_t>& shape) {
  const torch::NoGradGuard no_grad;
  const auto encoder = trained(options, shape);
  ASSERT_TRUE(encoder->constant_when_absent());
  encoder->eval();
  const auto features = encoder->forward(encoder->absent(images(shape, 6)), {});
  EXPECT_GT(features.abs().max().item<double>(), 0);
  EXPECT_TRUE(same_bits(features, features.narrow(0, 0, 1).expand_as(features)));
}

}  // namespace poise::testing
