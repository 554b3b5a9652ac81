#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "poise/files.h"

namespace poise {

/// What is known of a data set's files without its plugin's help.
struct DataFingerprint {
  std::size_t files = 0;
  std::uintmax_t bytes = 0;
  /// Hash of names relative to their common folder, sizes, and the first and last MiB of each file: a copy
  /// elsewhere, or a fresh clone, is the same data.
  std::string sha256;
};

/// Hashes of files that seldom change, kept from one process to the next by path, size and time of change.
/// Not thread-safe.
class HashCache {
 public:
  /// Reads what an earlier process has saved; a file that is missing or damaged is an empty cache.
  explicit HashCache(std::filesystem::path file = cache_directory() / "hashes.json");

  /// SHA-256 of a file's content. Throws Error naming the file when it cannot be read.
  std::string of_file(const std::filesystem::path& path);
  DataFingerprint of_data(std::vector<std::filesystem::path> files);

  /// Saves what is new. A cache that cannot be written costs time the next time, and is no error.
  void save();

 private:
  struct Entry {
    std::string stamp;  ///< size and time of what was hashed
    std::string hash;
  };
  std::string cached(const std::string& key, const std::string& stamp,
                     const std::function<std::string()>& compute);

  std::filesystem::path file_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace poise
