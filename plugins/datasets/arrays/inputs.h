#pragma once

#include <filesystem>

#include <torch/types.h>

namespace arrays {

/// A modality's data of one split.
struct Input {
  torch::Tensor values;   ///< [N, ...] as in the file, mapped
  torch::Tensor lengths;  ///< [N] int64 of sequences, else undefined
};

/// The rows as a model gets them: [B, ...] float32, zeros after a sequence's length.
torch::Tensor delivered(const Input& input, const torch::Tensor& rows);

/// Lengths of sequences of at most `steps`. Throws Error (usage) naming the file and the row.
torch::Tensor read_lengths(const std::filesystem::path& file, std::int64_t steps);

/// Throws Error (usage) naming the file and the first row that is delivered with a value that is not finite.
void check_finite(const std::filesystem::path& file, const Input& input);

/// The first row of [N, ...] booleans that has a true one; -1 when none has. N is not 0.
std::int64_t first_row(const torch::Tensor& wrong);

}  // namespace arrays
