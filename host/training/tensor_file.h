#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace poise {

/// The content of a safetensors file: named tensors and texts. Readable by every safetensors library.
struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, torch::Tensor>> tensors;

  [[nodiscard]] bool has(const std::string& name) const;
  /// Throws Error naming the tensor that is not there.
  [[nodiscard]] const torch::Tensor& at(const std::string& name) const;
};

/// Writes beside, syncs, renames. Adds a checksum of everything to the metadata.
void write_tensors(const std::filesystem::path& path, const TensorFile& content);

/// Throws Error naming the file and what is wrong with it when it is damaged: every byte is under the checksum.
TensorFile read_tensors(const std::filesystem::path& path);

}  // namespace poise
