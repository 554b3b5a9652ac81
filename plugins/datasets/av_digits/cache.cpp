// A file of features: eight letters, the CRC-32 of the values and the first digits of the SHA-256 of the library that
// computed them (8 bytes each, this machine's order), the values (float16). Its name is the SHA-256 of the data and
// options that the values depend on, which include their shape. Another library may compute other values: it makes the
// file anew.
#include "cache.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <string_view>

#include <poise/error.h>
#include <poise/files.h>

#include "parallel.h"

namespace av_digits {
namespace {

/// Stands for the code that computes features: the file of the library that this function is in.
std::uint64_t library() {
  static const std::uint64_t digits = [] {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(&library), &info) == 0) {
      throw poise::Error("the library of av_digits cannot be found");
    }
    return std::stoull(poise::sha256_file(info.dli_fname).substr(0, 16), nullptr, 16);
  }();
  return digits;
}

struct Head {
  std::array<char, 8> magic = {'p', 'o', 'i', 's', 'e', 'f', '1', '6'};
  std::uint64_t sum = 0;
  std::uint64_t code = library();
};

std::filesystem::path folder() { return poise::cache_directory() / "av_digits"; }

void keep(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write) {
  try {
    std::filesystem::create_directories(path.parent_path());
    poise::write_file(path, write);
  } catch (const std::exception& error) {
    std::cerr << "av_digits: prepared data are not kept for the next start (" << error.what() << ")\n";
  }
}

std::uint64_t checksum(const torch::Tensor& values) {
  return crc32_z(0, static_cast<const Bytef*>(values.data_ptr()), values.nbytes());
}

/// Maps the file instead of reading it: runs side by side share its memory, and starting costs half as much.
std::optional<torch::Tensor> load(const std::filesystem::path& path, at::IntArrayRef shape) {
  const std::int64_t count = c10::multiply_integers(shape);
  const auto head = static_cast<std::int64_t>(sizeof(Head) / sizeof(at::Half));
  std::error_code missing;
  const auto size = std::filesystem::file_size(path, missing);
  if (missing || size != static_cast<std::size_t>(head + count) * sizeof(at::Half)) return std::nullopt;
  if (!std::ifstream(path)) return std::nullopt;
  const auto all = torch::from_file(path.string(), /*shared=*/false, head + count, torch::kHalf);
  auto values = all.slice(0, head).view(shape);
  Head read{};
  std::memcpy(&read, all.data_ptr(), sizeof(Head));
  const Head expected{.sum = checksum(values)};
  if (std::memcmp(&read, &expected, sizeof(Head)) != 0) return std::nullopt;
  return values;
}

/// Names, sizes and times of last change: what a look at a folder tells.
std::string outside(const std::vector<std::filesystem::path>& files) {
  std::string text;
  for (const auto& path : files) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      throw poise::Error("cannot read " + path.string() + ": " + std::strerror(errno) + ".");
    }
    for (const std::int64_t number :
         {std::int64_t{status.st_size}, std::int64_t{status.st_mtim.tv_sec},
          std::int64_t{status.st_mtim.tv_nsec}, std::int64_t{status.st_ctim.tv_sec},
          std::int64_t{status.st_ctim.tv_nsec}}) {
      text += std::to_string(number) + " ";
    }
    text += std::filesystem::absolute(path).string() + "\n";
  }
  return text;
}

/// Not inlined: GCC 12 warns wrongly of a string that is moved when it knows its size (-Warray-bounds).
[[gnu::noinline]] bool is_hash(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string content_of(const std::vector<std::filesystem::path>& files, int threads) {
  const auto path = folder() / (poise::sha256(outside(files)) + ".content");
  if (std::ifstream known(path); known) {
    std::string content;
    std::getline(known, content);
    if (is_hash(content)) return content;
  }
  std::vector<std::string> lines(files.size());
  in_parallel(static_cast<std::int64_t>(files.size()), threads, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const std::string bytes = poise::read_file(files[i]);
      lines[i] =
          poise::sha256(bytes) + " " + std::to_string(bytes.size()) + " " + files[i].filename().string();
    }
  });
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  std::string content = poise::sha256(all);
  keep(path, [&](std::ostream& stream) { stream << content; });
  return content;
}

torch::Tensor cached(const std::string& description, at::IntArrayRef shape,
                     const std::function<torch::Tensor()>& compute) {
  const auto path = folder() / (poise::sha256(description) + ".features");
  if (auto values = load(path, shape)) return *values;
  auto values = compute().contiguous();
  keep(path, [&](std::ostream& stream) {
    const Head head{.sum = checksum(values)};
    stream.write(reinterpret_cast<const char*>(&head), sizeof(head));
    stream.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  });
  return values;
}

}  // namespace av_digits
