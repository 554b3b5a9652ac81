#pragma once

#include <filesystem>

#include <torch/types.h>

namespace av_digits {

/// The file at `path`, or at `path`.gz; empty when neither is there.
std::filesystem::path find_idx(const std::filesystem::path& path);

/// An IDX file of bytes (MNIST's format), plain or gzip-compressed: uint8, of the shape that its header states.
/// Throws Error naming the file when it cannot be read, is no IDX file of `dimensions` dimensions, or is
/// shorter or longer than its header says.
torch::Tensor read_idx(const std::filesystem::path& path, int dimensions);

}  // namespace av_digits
