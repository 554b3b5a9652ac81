// The closed forms against the exact posterior of the samples that the plugin gives: all values of the
// latents are tried, their likelihoods computed from the whole inputs and summed per class (per label);
// numbers have the posterior of a linear Gaussian model. Which latents a modality shows and which make up an
// output is written down here for each case, and the best guess is scored against the targets as they are
// delivered.
#include <cmath>
#include <ostream>

#include <ATen/ops/linalg_inv.h>
#include <poise/ceiling.h>

#include "samples.h"
#include "test_data.h"

namespace {

using poise::Split;
using poise::Subset;
using torch::Tensor;
using Lists = std::vector<std::vector<std::int64_t>>;

struct Case {
  std::string name;
  std::string options;
  std::vector<double> decibels;  ///< of each modality
  Lists shows;                   ///< the latents of each modality
  Lists outputs;                 ///< the latents whose product an output is
  std::int64_t latents;
  double noise;
};

constexpr std::int64_t samples = 60000;

std::ostream& operator<<(std::ostream& stream, const Case& c) { return stream << c.name; }

double best_of(const std::shared_ptr<poise::Dataset>& dataset, Subset subset) {
  const auto* const ceiling = dynamic_cast<const poise::Ceiling*>(dataset.get());
  return ceiling->best(subset);
}

/// A case with its samples.
struct World {
  explicit World(const Case& c) : settings(parameters(options(c))) {
    std::vector<int> modalities;
    for (std::size_t m = 0; m < c.shows.size(); ++m) modalities.push_back(static_cast<int>(m));
    dataset = built(options(c), modalities);
    batch = all(*dataset, Split::test);
    for (std::size_t m = 0; m < c.shows.size(); ++m) {
      const auto rows = synthetic::directions(settings, static_cast<int>(m));
      auto map = torch::zeros({c.latents, rows.size(1)}, torch::kDouble);
      for (std::size_t i = 0; i < c.shows[m].size(); ++i) {
        const double amplitude = std::sqrt(std::pow(10, c.decibels[m] / 10));
        map[c.shows[m][i]].copy_(rows[static_cast<std::int64_t>(i)] * amplitude);
      }
      maps.push_back(map);
      observed.push_back(observation(m));
    }
  }

  static std::string options(const Case& c) {
    return c.options + "\ntrain = 2000\nvalidation = 1\ntest = " + std::to_string(samples);
  }

  /// [N, D]: the input, whose part that depends on the latents is latents * map, with noise of deviation 1.
  /// Of a sequence the sum over its steps, divided by sqrt(L).
  [[nodiscard]] Tensor observation(std::size_t m) const {
    const auto values = batch.inputs[m].to(torch::kDouble);
    if (!batch.lengths[m].defined()) return values.flatten(1);
    return values.sum(1) / batch.lengths[m].to(torch::kDouble).sqrt().unsqueeze(1);
  }

  synthetic::Parameters settings;
  std::shared_ptr<poise::Dataset> dataset;
  poise::Batch batch;
  std::vector<Tensor> maps;  ///< [latents, D]
  std::vector<Tensor> observed;
};

/// All values that the latents can have: [2^latents, latents] of 1 and -1.
Tensor assignments(std::int64_t latents) {
  auto all_values = torch::ones({std::int64_t{1} << latents, latents}, torch::kDouble);
  for (std::int64_t row = 0; row < all_values.size(0); ++row) {
    for (std::int64_t i = 0; i < latents; ++i) {
      if ((row >> i & 1) != 0) all_values[row][i] = -1.0;
    }
  }
  return all_values;
}

/// [.., outputs]: the products of latents.
Tensor products(const Case& c, const Tensor& latents) {
  std::vector<Tensor> columns;
  for (const auto& factors : c.outputs) {
    auto product = torch::ones({latents.size(0)}, torch::kDouble);
    for (const std::int64_t factor : factors) product = product * latents.select(1, factor);
    columns.push_back(product);
  }
  return torch::stack(columns, 1);
}

/// Mean and standard error of [N] numbers.
void expect_mean(const Tensor& values, double expected, const std::string& what) {
  const auto error = values.std().item<double>() / std::sqrt(static_cast<double>(values.numel()));
  EXPECT_LT(error, 0.01) << what;
  EXPECT_NEAR(values.mean().item<double>(), expected, 5 * error) << what;
}

std::string described(Subset subset) { return "modalities " + std::to_string(subset.bits); }

class Bits : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Synthetic, Bits,
    ::testing::Values(
        Case{"all_kinds",
             "dimensions = 5\nsnr = [0, -6]\ncombined = 1",
             {0, -6},
             {{0, 2, 3}, {1, 2, 4}},
             {{0}, {1}, {2}, {3, 4}},
             5,
             0},
        Case{"wrong_classes",
             "dimensions = 3\nunique = [1, 0]\nredundant = 0\ncombined = 1\nlabel_noise = 0.4\nsnr = [3, 1]",
             {3, 1},
             {{0, 1}, {2}},
             {{0}, {1, 2}},
             3,
             0.4},
        Case{"three_modalities",
             "count = 3\ndimensions = 4\nunique = [1, 0, 0]\ncombined = 1\nsnr = [3, 0, 6.5]",
             {3, 0, 6.5},
             {{0, 1, 2}, {1, 3}, {1, 4}},
             {{0}, {1}, {2, 3, 4}},
             5,
             0},
        Case{"two_classes",
             "dimensions = 2\nunique = [0, 0]\nlabel_noise = 0.1",
             {0, 0},
             {{0}, {0}},
             {{0}},
             1,
             0.1},
        Case{"labels",
             "task = 'multi_label'\ndimensions = 5\nsnr = [2, -2]\ncombined = 1\nlabel_noise = 0.2",
             {2, -2},
             {{0, 2, 3}, {1, 2, 4}},
             {{0}, {1}, {2}, {3, 4}},
             5,
             0.2},
        Case{"sequences",
             "form = 'sequence'\ndimensions = 3\nsteps = 4\nsnr = [0, 2]",
             {0, 2},
             {{0, 2}, {1, 2}},
             {{0}, {1}, {2}},
             3,
             0},
        Case{"images",
             "form = 'image'\nside = 4\nsnr = [0, 2]",
             {0, 2},
             {{0, 2}, {1, 2}},
             {{0}, {1}, {2}},
             3,
             0}),
    [](const auto& parameter) { return parameter.param.name; });

TEST_P(Bits, TheExactPosteriorReachesTheBestScore) {
  const Case& c = GetParam();
  const World world(c);
  const bool is_classification = world.dataset->task().kind == poise::TaskKind::classification;
  const auto values = assignments(c.latents);
  const auto bits = (products(c, values) < 0).to(torch::kDouble);  // [2^latents, outputs]
  const auto outputs = bits.size(1);
  auto classes = torch::zeros({bits.size(0)}, torch::kLong);
  for (std::int64_t i = 0; i < outputs; ++i) classes += bits.select(1, i).to(torch::kLong) * (1 << i);
  const std::int64_t C = std::int64_t{1} << outputs;
  const auto of_class = (classes.unsqueeze(1) == torch::arange(C)).to(torch::kDouble);  // [2^latents, C]

  for (std::uint32_t subset = 1; subset < 1U << c.shows.size(); ++subset) {
    auto likelihood = torch::zeros({samples, values.size(0)}, torch::kDouble);
    for (std::size_t m = 0; m < c.shows.size(); ++m) {
      if (!Subset{subset}.has(static_cast<int>(m))) continue;
      const auto mean = values.mm(world.maps[m]);  // [2^latents, D]
      // -|x - mean|^2 / 2 without |x|^2, which is the same for all.
      likelihood += world.observed[m].mm(mean.t()) - mean.square().sum(1) / 2;
    }
    const auto posterior = likelihood.softmax(1);
    Tensor score;
    if (is_classification) {
      const auto clean = posterior.mm(of_class);
      const auto noisy = clean * (1 - c.noise) + (1 - clean) * (c.noise / static_cast<double>(C - 1));
      score = (noisy.argmax(1) == world.batch.targets).to(torch::kDouble);
    } else {
      const auto clean = posterior.mm(bits);
      const auto noisy = clean * (1 - c.noise) + (1 - clean) * c.noise;
      score = ((noisy > 0.5) == (world.batch.targets > 0.5)).to(torch::kDouble).mean(1);
    }
    expect_mean(score, best_of(world.dataset, {subset}), described({subset}));
  }
}

class Numbers : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Synthetic, Numbers,
    ::testing::Values(
        Case{"simple",
             "task = 'regression'\ndimensions = 4\nunique = [2, 1]\nsnr = [3, -3]\nlabel_noise = 0.2",
             {3, -3},
             {{0, 1, 3}, {2, 3}},
             {{0}, {1}, {2}, {3}},
             4,
             0.2},
        Case{"products",
             "task = 'regression'\ndimensions = 4\nsnr = [6, 3]\ncombined = 1",
             {6, 3},
             {{0, 2, 3}, {1, 2, 4}},
             {{0}, {1}, {2}, {3, 4}},
             5,
             0}),
    [](const auto& parameter) { return parameter.param.name; });

TEST_P(Numbers, ThePosteriorMeanReachesTheBestR2) {
  const Case& c = GetParam();
  const World world(c);
  for (std::uint32_t subset = 1; subset < 1U << c.shows.size(); ++subset) {
    std::vector<Tensor> maps;
    std::vector<Tensor> seen;
    for (std::size_t m = 0; m < c.shows.size(); ++m) {
      if (!Subset{subset}.has(static_cast<int>(m))) continue;
      maps.push_back(world.maps[m]);
      seen.push_back(world.observed[m]);
    }
    const auto map = torch::cat(maps, 1);  // [latents, D]
    const auto covariance = at::linalg_inv(map.mm(map.t()) + torch::eye(c.latents, torch::kDouble));
    const auto mean = torch::cat(seen, 1).mm(map.t()).mm(covariance);  // of the posterior: [N, latents]
    std::vector<Tensor> columns;
    for (const auto& factors : c.outputs) {
      auto guess = mean.select(1, factors[0]);
      if (factors.size() == 2) {
        guess = guess * mean.select(1, factors[1]) + covariance[factors[0]][factors[1]];
      }
      columns.push_back(guess);
    }
    // R2 of the best guess is its squared correlation with the target, whatever the target's scale. In 30
    // parts, for a standard error.
    const auto guess = torch::stack(columns, 1).view({30, -1, world.batch.targets.size(1)});
    const auto target = world.batch.targets.to(torch::kDouble).view_as(guess);
    const auto p = guess - guess.mean(1, /*keepdim=*/true);
    const auto t = target - target.mean(1, /*keepdim=*/true);
    const auto power = p.square().mean(1) * t.square().mean(1);
    const auto r2 = (p * t).mean(1).square() / power.clamp_min(1e-30);
    expect_mean(r2.mean(1), best_of(world.dataset, {subset}), described({subset}));
  }
}

TEST(SyntheticBest, KnownValues) {
  // Phi(1) = 0.8413447460685429.
  const double right = 0.8413447460685429;
  const auto two = declared("redundant = 0");
  EXPECT_NEAR(best_of(two, Subset::all(2)), right * right, 1e-12);
  EXPECT_NEAR(best_of(two, Subset::only(0)), right / 2, 1e-12);
  EXPECT_NEAR(best_of(two, {0}), 0.25, 1e-12);
  const auto exclusive = declared("unique = [0, 0]\nredundant = 0\ncombined = 1");
  EXPECT_NEAR(best_of(exclusive, Subset::all(2)), right * right + (1 - right) * (1 - right), 1e-12);
  EXPECT_NEAR(best_of(exclusive, Subset::only(1)), 0.5, 1e-12);
  const auto numbers = declared("task = 'regression'\nsnr = [0, 0]\nunique = [0, 0]\nlabel_noise = 0.25");
  EXPECT_NEAR(best_of(numbers, Subset::only(0)), 0.75 * 0.5, 1e-12);
  EXPECT_NEAR(best_of(numbers, Subset::all(2)), 0.75 * 2 / 3, 1e-12);
}

}  // namespace
