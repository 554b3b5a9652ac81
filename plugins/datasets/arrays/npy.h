#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <torch/types.h>

namespace arrays {

/// Throws Error (usage): the file's name, then `sentence`.
[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& sentence);

/// What the header of a .npy file says.
struct Header {
  torch::ScalarType dtype = torch::kFloat;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< of the values in the file, in bytes
};

/// Throws Error (usage) naming a file that cannot be read, is no .npy file of format 1.0 to 3.0, or holds
/// what is not read: values in Fortran order, big-endian, or of another type than float16, float32, float64,
/// uint8, int8, int16, int32, int64 and bool (which is given as uint8).
Header read_header(const std::filesystem::path& file);

/// The values of a .npy file: mapped, so that a part is read when it is used, and never written. The file
/// must stay as it is while the tensor lives. Throws Error (usage) as read_header(), and for a file that is
/// shorter or longer than its header says.
torch::Tensor map_values(const std::filesystem::path& file);

/// "float32 [100, 3]"
std::string described(torch::ScalarType dtype, at::IntArrayRef shape);
/// "[100, 3]"
std::string described(at::IntArrayRef shape);

}  // namespace arrays
