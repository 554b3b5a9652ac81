#pragma once

#include <cstdint>
#include <utility>

#include <ATen/ATen.h>
#include <torch/types.h>

/// k-means, and how well its clusters agree with labels. Runs on the points' device, waits for it, and draws from its
/// default generator.
namespace relearning {

struct Clustering {
  torch::Tensor centres;   ///< [K, d]
  torch::Tensor clusters;  ///< [N] int64: the number of the centre that is nearest to each point
  double inertia = 0;      ///< sum of the squared distances of the points from these centres
};

/// x [N, d] with every column scaled to [-1, 1] by its own minimum and maximum; a constant column becomes -1.
inline torch::Tensor scale(const torch::Tensor& x) {
  const torch::Tensor low = x.amin({0});
  const torch::Tensor width = x.amax({0}) - low;
  return 2 * (x - low) / at::where(width > 0, width, at::ones_like(width)) - 1;
}

/// The number of the nearest centre, [N].
inline torch::Tensor nearest(const torch::Tensor& points, const torch::Tensor& centres) {
  return at::cdist(points, centres).argmin(1);
}

/// Lloyd's iterations from `centres` [K, d], until no point changes its cluster, at most 300 times. A centre that loses
/// all its points stays where it is.
inline Clustering lloyd(const torch::Tensor& points, torch::Tensor centres) {
  torch::Tensor clusters = nearest(points, centres);
  for (int iteration = 0; iteration < 300; ++iteration) {
    const torch::Tensor inside = at::one_hot(clusters, centres.size(0)).to(points.scalar_type());  // [N, K]
    const torch::Tensor counts = inside.sum(0).unsqueeze(1);
    const torch::Tensor means = at::matmul(inside.t(), points) / counts.clamp_min(1);
    centres = at::where(counts > 0, means, centres);
    const torch::Tensor next = nearest(points, centres);
    if (at::equal(next, clusters)) break;
    clusters = next;
  }
  const auto inertia = (points - centres.index_select(0, clusters)).square().sum(at::kDouble).item<double>();
  return {centres, clusters, inertia};
}

/// k-means++: the first centre is any point; each further one is drawn with a probability proportional to the squared
/// distance from the nearest centre so far.
inline torch::Tensor spread_centres(const torch::Tensor& points, std::int64_t count) {
  const torch::Tensor first = at::randint(points.size(0), {1}, points.options().dtype(at::kLong));
  torch::Tensor centres = points.index_select(0, first);
  torch::Tensor squared = at::cdist(points, centres).square().squeeze(1);
  while (centres.size(0) < count) {
    // With fewer distinct points than centres there is no distance left, and any point will do.
    const torch::Tensor weights = at::where(squared.sum() > 0, squared, at::ones_like(squared));
    const torch::Tensor drawn = points.index_select(0, at::multinomial(weights, 1));
    centres = at::cat({centres, drawn});
    squared = at::minimum(squared, at::cdist(points, drawn).square().squeeze(1));
  }
  return centres;
}

/// The best of ten runs of lloyd(), each from centres of its own.
inline Clustering kmeans(const torch::Tensor& points, std::int64_t count) {
  Clustering best = lloyd(points, spread_centres(points, count));
  for (int run = 1; run < 10; ++run) {
    Clustering other = lloyd(points, spread_centres(points, count));
    if (other.inertia < best.inertia) best = std::move(other);
  }
  return best;
}

/// Share of the points whose label ([N] int64) is the most frequent one of their cluster.
inline double purity(const torch::Tensor& clusters, const torch::Tensor& labels) {
  const torch::Tensor counts = at::matmul(at::one_hot(clusters).t().to(at::kDouble),
                                          at::one_hot(labels).to(at::kDouble));  // [K, C]
  return counts.amax({1}).sum().item<double>() / static_cast<double>(labels.size(0));
}

}  // namespace relearning
