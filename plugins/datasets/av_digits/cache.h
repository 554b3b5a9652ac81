#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <torch/types.h>

namespace av_digits {

/// SHA-256 of the names, sizes and bytes of `files`. Where all have the size and the times of last change that
/// they had when it was computed before, that result is taken from the cache, and no file is opened.
std::string content_of(const std::vector<std::filesystem::path>& files, int threads);

/// The float16 tensor of that shape that `description` and this library's code determine completely: from the
/// cache, else (it is not there, damaged, or of another build) computed and kept. That it cannot be kept is said on stderr, and nothing worse.
torch::Tensor cached(const std::string& description, at::IntArrayRef shape,
                     const std::function<torch::Tensor()>& compute);

}  // namespace av_digits
