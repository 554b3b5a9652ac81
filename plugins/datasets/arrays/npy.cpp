// The format of NumPy's .npy files (numpy.lib.format): "\x93NUMPY", a byte each of major and minor version,
// the length of the header (2 bytes in version 1, 4 in 2 and 3, little-endian), the header, which is the text
// of a Python dictionary with the keys descr, fortran_order and shape, then the values.
#include "npy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <functional>
#include <string_view>

#include <poise/error.h>

namespace arrays {
namespace {

struct Type {
  std::string_view descr;
  torch::ScalarType dtype;
  const char* name;
};
constexpr Type types[] = {
    {"<f4", torch::kFloat, "float32"}, {"<f8", torch::kDouble, "float64"}, {"<f2", torch::kHalf, "float16"},
    {"|u1", torch::kByte, "uint8"},    {"|i1", torch::kChar, "int8"},      {"<i2", torch::kShort, "int16"},
    {"<i4", torch::kInt, "int32"},     {"<i8", torch::kLong, "int64"},     {"|b1", torch::kByte, "bool"}};

/// NumPy's own headers are far below, and its reader refuses headers of more than 10000 bytes.
constexpr std::uint32_t longest_header = 65535;

[[noreturn]] void unreadable(const std::filesystem::path& file) {
  refuse(file, std::string("cannot be read: ") + std::strerror(errno) + ".");
}

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  refuse(file, "is damaged: " + what + ".");
}

/// What follows 'key': in the dictionary, whose order and spaces the format leaves open; empty when it is
/// not there.
std::string_view after(std::string_view dictionary, const std::string& key) {
  const std::string quoted = "'" + key + "'";
  const auto found = dictionary.find(quoted);
  if (found == std::string_view::npos) return {};
  dictionary.remove_prefix(found + quoted.size());
  dictionary.remove_prefix(std::min(dictionary.find_first_not_of(" :"), dictionary.size()));
  return dictionary;
}

/// For a message: short, and nothing that a terminal would obey.
std::string printable(std::string_view text) {
  std::string result(text.substr(0, 24));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

torch::ScalarType dtype_of(const std::filesystem::path& file, std::string_view dictionary) {
  const char* const readable =
      ", and arrays reads little-endian float16, float32, float64, uint8, int8, int16, int32, int64 and "
      "bool: save it with astype(numpy.float32).";
  auto value = after(dictionary, "descr");
  if (value.starts_with("[")) refuse(file, std::string("holds records of several fields") + readable);
  if (!value.starts_with("'")) damaged(file, "its header has no descr");
  value.remove_prefix(1);
  const auto descr = value.substr(0, value.find('\''));
  for (const auto& type : types) {
    if (type.descr == descr) return type.dtype;
  }
  refuse(file, "holds values of dtype '" + printable(descr) + "'" + readable);
}

void check_order(const std::filesystem::path& file, std::string_view dictionary) {
  const auto value = after(dictionary, "fortran_order");
  if (value.starts_with("True")) {
    refuse(file, "holds its values in Fortran order: save numpy.ascontiguousarray of it.");
  }
  if (!value.starts_with("False")) damaged(file, "its header has no fortran_order");
}

std::vector<std::int64_t> shape_of(const std::filesystem::path& file, std::string_view dictionary) {
  auto value = after(dictionary, "shape");
  const auto end = value.find(')');
  if (!value.starts_with("(") || end == std::string_view::npos) damaged(file, "its header has no shape");
  value = value.substr(1, end - 1);
  std::vector<std::int64_t> shape;
  while (true) {
    value.remove_prefix(std::min(value.find_first_not_of(" ,"), value.size()));
    if (value.empty()) return shape;
    std::int64_t size = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (error != std::errc() || size < 0) damaged(file, "its header's shape is no list of sizes");
    shape.push_back(size);
    value.remove_prefix(static_cast<std::size_t>(stop - value.data()));
  }
}

/// How many bytes the values have.
std::int64_t bytes_of(const std::filesystem::path& file, const Header& header) {
  auto bytes = static_cast<std::int64_t>(c10::elementSize(header.dtype));
  for (const std::int64_t size : header.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) damaged(file, "its header's shape is impossible");
  }
  return bytes;
}

/// The whole file for reading alone. (torch::from_file maps for writing as well, which counts as memory: the
/// system refuses it for files larger than the machine's.)
void* map_file(const std::filesystem::path& file, std::size_t size) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) unreadable(file);
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int reason = errno;
  ::close(descriptor);
  errno = reason;
  if (memory == MAP_FAILED) unreadable(file);
  return memory;
}

}  // namespace

void refuse(const std::filesystem::path& file, const std::string& sentence) {
  throw poise::Error(file.string() + " " + sentence, poise::Fault::usage);
}

Header read_header(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) unreadable(file);
  std::array<char, 12> start{};
  stream.read(start.data(), 8);
  if (!stream || std::string_view(start.data(), 6) != "\x93NUMPY") {
    refuse(file, "is no .npy file: write it with numpy.save.");
  }
  const int version = static_cast<unsigned char>(start[6]);
  if (version < 1 || version > 3) {
    refuse(file, "is a .npy file of format " + std::to_string(version) + ", and arrays reads 1 to 3.");
  }
  const std::size_t digits = version == 1 ? 2 : 4;
  stream.read(start.data() + 8, static_cast<std::streamsize>(digits));
  std::uint32_t length = 0;
  for (std::size_t i = digits; i-- > 0;) length = (length << 8) | static_cast<unsigned char>(start[8 + i]);
  if (stream && length > longest_header) damaged(file, "its header is too long");
  std::string dictionary(length, '\0');
  stream.read(dictionary.data(), static_cast<std::streamsize>(length));
  if (!stream) damaged(file, "it ends within its header");
  const auto dtype = dtype_of(file, dictionary);
  check_order(file, dictionary);
  return {dtype, shape_of(file, dictionary), static_cast<std::int64_t>(8 + digits + length)};
}

torch::Tensor map_values(const std::filesystem::path& file) {
  const Header header = read_header(file);
  const std::int64_t bytes = bytes_of(file, header);
  std::error_code failed;
  const auto size = std::filesystem::file_size(file, failed);
  if (failed) refuse(file, "cannot be read: " + failed.message() + ".");
  const auto held = static_cast<std::int64_t>(size) - header.begin;
  if (held != bytes) {
    damaged(file, "it holds " + std::to_string(held) + " bytes of values where its header states " +
                      std::to_string(bytes));
  }
  if (header.begin % static_cast<std::int64_t>(c10::elementSize(header.dtype)) != 0) {
    refuse(file, "has its values at byte " + std::to_string(header.begin) +
                     ", where they cannot be used in place: write it with numpy.save.");
  }
  void* const memory = map_file(file, size);
  const std::function<void(void*)> unmap = [memory, size](void* /*values*/) { ::munmap(memory, size); };
  return torch::from_blob(static_cast<char*>(memory) + header.begin, header.shape, unmap, header.dtype);
}

std::string described(at::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string described(torch::ScalarType dtype, at::IntArrayRef shape) {
  for (const auto& type : types) {
    if (type.dtype == dtype) return type.name + (" " + described(shape));
  }
  return described(shape);
}

}  // namespace arrays
