#include "samples.h"

#include <cmath>
#include <numbers>
#include <tuple>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/linalg_qr.h>

namespace synthetic {
namespace {

using poise::Split;
using poise::TaskKind;

// What is drawn, each from a generator of its own; the last two per modality.
enum Use { use_latents = 0, use_label_noise = 1, use_noise = 2, use_lengths = 8 };
constexpr int no_split = 3;

at::Generator generator(const Parameters& p, int split, int use) {
  const auto seed = static_cast<std::uint64_t>(p.seed) * 64 + static_cast<std::uint64_t>(split * 16 + use);
  return at::make_generator<at::CPUGeneratorImpl>(seed);
}

std::int64_t size_of(const Parameters& p, Split split) { return p.sizes[static_cast<std::size_t>(split)]; }

/// [count, ...] standard normal numbers. LibTorch makes them in blocks of 16 and draws the last block again
/// when it is not full; so it is made full, and a row does not depend on how many come after it.
torch::Tensor normal(std::int64_t count, std::vector<std::int64_t> shape, const at::Generator& random) {
  shape.insert(shape.begin(), (count + 15) / 16 * 16);
  return torch::randn(shape, random, torch::kFloat).slice(0, 0, count);
}

/// DCT-II, orthonormal: cos(pi u (i + 1/2) / side) cos(pi v (j + 1/2) / side), u and v from 0 to 3.
torch::Tensor smooth_patterns(std::int64_t side) {
  const auto place = torch::arange(side, torch::kDouble) + 0.5;
  const auto angle = torch::arange(4, torch::kDouble).outer(place) * (std::numbers::pi / side);
  const auto waves = angle.cos() * std::sqrt(2.0 / side);
  waves.select(0, 0).mul_(std::sqrt(0.5));
  return at::kron(waves, waves);  // [16, side * side]
}

/// The outputs without noise: [size, outputs], products of latents.
torch::Tensor outputs(const Parameters& p, const torch::Tensor& latents) {
  const auto simple = latents.slice(1, 0, p.simple_outputs());
  const auto factors = latents.slice(1, p.simple_outputs());
  const auto combined = factors.reshape({latents.size(0), p.combined, p.modalities}).prod(2);
  return torch::cat({simple, combined}, 1);
}

torch::Tensor classes(const Parameters& p, const torch::Tensor& bits, const at::Generator& random) {
  std::vector<std::int64_t> powers;
  for (std::int64_t i = 0; i < p.outputs(); ++i) powers.push_back(std::int64_t{1} << i);
  const auto right = (bits.to(torch::kLong) * torch::tensor(powers, torch::kLong)).sum(1);
  const auto draws = torch::rand({bits.size(0), 2}, random, torch::kDouble);
  const auto others = (draws.select(1, 1) * (p.classes() - 1)).to(torch::kLong) + 1;  // 1 to C - 1
  return torch::where(draws.select(1, 0) < p.label_noise, (right + others).remainder(p.classes()), right);
}

}  // namespace

torch::Tensor latents(const Parameters& p, Split split) {
  const auto random = generator(p, static_cast<int>(split), use_latents);
  if (p.task == TaskKind::regression) return normal(size_of(p, split), {p.latents()}, random);
  return 1 - 2 * torch::randint(0, 2, {size_of(p, split), p.latents()}, random, torch::kFloat);
}

torch::Tensor targets(const Parameters& p, const torch::Tensor& latents, Split split) {
  const auto random = generator(p, static_cast<int>(split), use_label_noise);
  const auto clean = outputs(p, latents);
  if (p.task == TaskKind::regression) {
    const auto noise = normal(size_of(p, split), {p.outputs()}, random);
    return std::sqrt(1 - p.label_noise) * clean + std::sqrt(p.label_noise) * noise;
  }
  const auto bits = clean < 0;
  if (p.task == TaskKind::classification) return classes(p, bits, random);
  const auto flips = torch::rand(bits.sizes(), random, torch::kDouble) < p.label_noise;
  return bits.logical_xor(flips).to(torch::kFloat);
}

torch::Tensor directions(const Parameters& p, int modality) {
  const bool is_image = p.form == Form::image;
  const auto count = static_cast<std::int64_t>(p.shown(modality).size());
  if (count == 0) return torch::zeros({0, is_image ? p.side * p.side : p.dimensions}, torch::kDouble);
  const auto patterns = is_image ? smooth_patterns(p.side) : torch::Tensor();
  const auto space = is_image ? patterns.size(0) : p.dimensions;
  const auto random = torch::randn({space, count}, generator(p, no_split, modality), torch::kDouble);
  const auto rows = std::get<0>(at::linalg_qr(random)).t();
  return is_image ? rows.mm(patterns) : rows;
}

Input input(const Parameters& p, const torch::Tensor& latents, int modality, Split split) {
  const std::int64_t count = size_of(p, split);
  const auto noise = generator(p, static_cast<int>(split), use_noise + modality);
  const auto shown = latents.index_select(1, torch::tensor(p.shown(modality), torch::kLong));
  const auto signal =
      shown.mm(directions(p, modality).to(torch::kFloat)) * p.amplitude[static_cast<std::size_t>(modality)];
  if (p.form == Form::vector) return {normal(count, {p.dimensions}, noise).add_(signal), {}};
  if (p.form == Form::image) {
    return {normal(count, {1, p.side, p.side}, noise).add_(signal.view({count, 1, p.side, p.side})), {}};
  }
  const auto lengths =
      torch::randint(p.min_steps, p.steps + 1, {count},
                     generator(p, static_cast<int>(split), use_lengths + modality), torch::kLong);
  // A step has 1 / L of the signal's power, so that all L together tell as much as one vector.
  const auto step = signal / lengths.to(torch::kFloat).sqrt().unsqueeze(1);
  const auto padding = torch::arange(p.steps) >= lengths.unsqueeze(1);
  auto values = normal(count, {p.steps, p.dimensions}, noise).add_(step.unsqueeze(1));
  return {values.masked_fill_(padding.unsqueeze(2), 0.0), lengths};
}

}  // namespace synthetic
