#pragma once

#include <array>
#include <filesystem>
#include <vector>

#include <torch/types.h>

namespace av_digits {

/// The four files of MNIST at `folder` that are there, in a fixed order.
std::vector<std::filesystem::path> image_files(const std::filesystem::path& folder);

/// Labels of all images, those of the training file first, with where the splits lie: split s (0 train,
/// 1 validation, 2 test) is begin[s] to begin[s + 1] - 1.
struct ImageLabels {
  torch::Tensor labels;  ///< [N] int64
  std::array<std::int64_t, 4> begin{};
};
/// Throws Error when a file is missing or damaged, or a split lacks a digit.
ImageLabels read_labels(const std::filesystem::path& folder);
/// [N, 784] uint8, in the order of `labels`. Throws Error when a file is missing or damaged, or does not hold as
/// many images as there are labels.
torch::Tensor read_images(const std::filesystem::path& folder, const ImageLabels& labels);

/// Principal components that keep a share of the variance of the rows they were fitted on.
struct Pca {
  torch::Tensor mean;   ///< [D] float64
  torch::Tensor basis;  ///< [D, r] float64, orthonormal columns; undefined: all components are kept
};
/// The fewest leading components of `train` ([N, D]) whose variances make up at least `share` (over 0, at most
/// 1) of the total.
Pca fit_pca(const torch::Tensor& train, double share);
/// The rows with the other components removed, float64; unchanged when all components are kept.
torch::Tensor project(const Pca& pca, const torch::Tensor& rows);

/// The images that `wanted` ([n] indices into all) names, from 0 to 1, with that share of their PCA energy, then
/// shifted and scaled by the mean and deviation of all training images' pixels: [n, 1, 28, 28] float16.
torch::Tensor image_features(const std::filesystem::path& folder, const ImageLabels& labels,
                             const torch::Tensor& wanted, double energy);

}  // namespace av_digits
