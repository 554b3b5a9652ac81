#include "pipeline/hash_cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "poise/error.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t mebibyte = std::uintmax_t{1} << 20;

struct Status {
  std::uintmax_t size;
  std::string stamp;
};

Status status_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error("cannot read " + path.string() + ": " + std::strerror(errno));
  }
  return {static_cast<std::uintmax_t>(status.st_size), std::to_string(status.st_size) + " " +
                                                           std::to_string(status.st_mtim.tv_sec) + "." +
                                                           std::to_string(status.st_mtim.tv_nsec)};
}

/// SHA-256 of the first and last MiB of a file, all of it when it has no more than two.
std::string hash_of_ends(const fs::path& path, std::uintmax_t size) {
  if (size <= 2 * mebibyte) return sha256_file(path);
  std::ifstream stream(path, std::ios::binary);
  std::string ends(2 * mebibyte, '\0');
  stream.read(ends.data(), mebibyte);
  stream.seekg(-static_cast<std::streamoff>(mebibyte), std::ios::end);
  stream.read(ends.data() + mebibyte, mebibyte);
  if (!stream) throw Error("cannot read " + path.string() + ": " + std::strerror(errno));
  return sha256(ends);
}

/// The deepest folder that holds all of `files`, which are absolute.
fs::path common_folder(const std::vector<fs::path>& files) {
  fs::path common = files.front().parent_path();
  for (const auto& file : files) {
    const fs::path folder = file.parent_path();
    const auto parting = std::mismatch(common.begin(), common.end(), folder.begin(), folder.end());
    fs::path shared;
    for (auto part = common.begin(); part != parting.first; ++part) shared /= *part;
    common = shared;
  }
  return common;
}

}  // namespace

HashCache::HashCache(fs::path file) : file_(std::move(file)) {
  std::ifstream stream(file_);
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  if (!json.is_object()) return;
  for (const auto& [key, entry] : json.items()) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_string()) continue;
    entries_[key] = {entry[0].get<std::string>(), entry[1].get<std::string>()};
  }
}

std::string HashCache::cached(const std::string& key, const std::string& stamp,
                              const std::function<std::string()>& compute) {
  const auto found = entries_.find(key);
  if (found != entries_.end() && found->second.stamp == stamp) return found->second.hash;
  std::string hash = compute();
  entries_[key] = {stamp, hash};
  changed_ = true;
  return hash;
}

std::string HashCache::of_file(const fs::path& path) {
  const fs::path file = fs::weakly_canonical(path);
  return cached(file.string(), status_of(file).stamp, [&] { return sha256_file(file); });
}

DataFingerprint HashCache::of_data(std::vector<fs::path> files) {
  DataFingerprint data;
  if (files.empty()) return data;
  for (auto& file : files) file = fs::absolute(file).lexically_normal();
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  data.files = files.size();

  std::string names;
  std::string stamps;
  std::vector<std::uintmax_t> sizes;
  for (const auto& file : files) {
    const Status status = status_of(file);
    names += file.string() + "\n";
    stamps += status.stamp + "\n";
    sizes.push_back(status.size);
    data.bytes += status.size;
  }
  data.sha256 = cached("data " + sha256(names), sha256(stamps), [&] {
    const std::size_t skipped = common_folder(files).string().size();
    std::string content;
    for (std::size_t i = 0; i < files.size(); ++i) {
      content += files[i].string().substr(skipped) + "\n" + std::to_string(sizes[i]) + " " +
                 hash_of_ends(files[i], sizes[i]) + "\n";
    }
    return sha256(content);
  });
  return data;
}

void HashCache::save() {
  if (!changed_) return;
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, entry] : entries_) json[key] = {entry.stamp, entry.hash};
  try {
    fs::create_directories(file_.parent_path());
    write_file(file_, json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
    changed_ = false;
  } catch (const std::exception&) {  // a read-only home, a full disk
  }
}

}  // namespace poise
