// IDX, as MNIST's page describes it: the bytes 0, 0, type (8: unsigned byte), number of dimensions; then each
// dimension as a big-endian 32-bit integer; then the values, the last dimension fastest.
#include "idx.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <poise/error.h>

namespace av_digits {
namespace {

[[noreturn]] void damaged(const std::filesystem::path& path, const std::string& why) {
  throw poise::Error(path.string() + " is damaged: " + why + "; fetch it again.");
}

/// The whole file, uncompressed; zlib reads plain files as they are, and checks the sum of compressed ones.
std::string read_all(const std::filesystem::path& path) {
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw poise::Error("cannot read " + path.string() + ": " + std::strerror(errno) + ".");
  constexpr std::size_t block = 1 << 20;
  gzbuffer(file.get(), block);
  std::string bytes;
  for (;;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + block);
    const int count = gzread(file.get(), bytes.data() + before, block);
    bytes.resize(before + static_cast<std::size_t>(std::max(count, 0)));
    if (count > 0) continue;
    int error = Z_OK;
    const char* const why = gzerror(file.get(), &error);
    if (error == Z_BUF_ERROR) damaged(path, "it ends in the middle of the compressed data");
    if (error == Z_ERRNO)
      throw poise::Error("cannot read " + path.string() + ": " + std::strerror(errno) + ".");
    if (count < 0 || error != Z_OK) damaged(path, std::string("it cannot be decompressed (") + why + ")");
    return bytes;
  }
}

}  // namespace

std::filesystem::path find_idx(const std::filesystem::path& path) {
  std::filesystem::path compressed = path;
  compressed += ".gz";
  std::error_code ignored;
  if (std::filesystem::is_regular_file(compressed, ignored)) return compressed;
  if (std::filesystem::is_regular_file(path, ignored)) return path;
  return {};
}

torch::Tensor read_idx(const std::filesystem::path& path, int dimensions) {
  const std::string bytes = read_all(path);
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  const std::size_t header = 4 + 4 * static_cast<std::size_t>(dimensions);
  if (bytes.size() < header || byte(0) != 0 || byte(1) != 0 || byte(2) != 8 || byte(3) != dimensions) {
    damaged(path, "it does not begin like an IDX file of bytes with " + std::to_string(dimensions) +
                      (dimensions == 1 ? " dimension" : " dimensions"));
  }
  std::vector<std::int64_t> shape;
  // As double, since the product of three damaged sizes overflows an integer.
  double stated = 1;
  for (std::size_t at = 4; at < header; at += 4) {
    shape.push_back(std::int64_t{byte(at)} << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3));
    stated *= static_cast<double>(shape.back());
  }
  const std::size_t values = bytes.size() - header;
  if (stated != static_cast<double>(values)) {
    damaged(path, "it holds " + std::to_string(values) + " values where its header states " +
                      std::to_string(static_cast<std::uint64_t>(stated)));
  }
  torch::Tensor result = torch::empty(shape, torch::kUInt8);
  std::memcpy(result.data_ptr(), bytes.data() + header, values);
  return result;
}

}  // namespace av_digits
