#pragma once

#include <filesystem>

#include <poise/task.h>
#include <torch/types.h>

namespace arrays {

/// The targets of a file: [N] int64 classes, [N, C] float32 labels of 0 and 1, or [N, C] float64 numbers.
/// Throws Error (usage) naming the file, and the row of a value that cannot be.
torch::Tensor read_targets(const std::filesystem::path& file, const poise::Task& task);

/// What makes the numbers of the training split standard.
struct Scale {
  torch::Tensor mean;       ///< [C]
  torch::Tensor deviation;  ///< [C], none 0
};
/// Of `train`, [N, C] float64. Throws Error (usage) naming `file` when a column has one value in all rows.
Scale fit_scale(const std::filesystem::path& file, const torch::Tensor& train);

}  // namespace arrays
