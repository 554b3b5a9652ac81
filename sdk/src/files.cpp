#include "poise/files.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "poise/error.h"

namespace poise {
namespace {

std::string reason() { return std::strerror(errno); }

/// Asks the disk to keep what is written at `path` (a file, or a folder's list of names).
bool sync(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool synced = ::fsync(descriptor) == 0;
  const int error = errno;
  ::close(descriptor);
  errno = error;
  return synced;
}

std::string hexadecimal(const unsigned char (&digest)[crypto_hash_sha256_BYTES]) {
  char text[2 * sizeof(digest) + 1];
  sodium_bin2hex(text, sizeof(text), digest, sizeof(digest));
  return text;
}

}  // namespace

std::filesystem::path cache_directory() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::filesystem::path(cache) / "poise";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".cache" / "poise";
  }
  return std::filesystem::temp_directory_path() / "poise-cache";
}

void write_file(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write) {
  std::filesystem::path beside = path;
  beside += "." + std::to_string(::getpid()) + ".part";
  const auto fail = [&] {
    const std::string why = reason();
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    throw Error("cannot write " + path.string() + ": " + why);
  };
  errno = 0;
  try {
    std::ofstream stream(beside, std::ios::binary);
    if (!stream) fail();
    write(stream);
    stream.close();
    if (!stream) fail();
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    throw;
  }
  if (!sync(beside)) fail();
  if (::rename(beside.c_str(), path.c_str()) != 0) fail();
  // The new name is not lost with the power; a folder that cannot be synced does not undo the write.
  sync(path.parent_path().empty() ? "." : path.parent_path());
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  write_file(path, [&](std::ostream& stream) {
    stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  });
}

std::string read_file(const std::filesystem::path& path) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream content;
  if (!stream || std::filesystem::is_directory(path)) {
    throw Error("cannot read " + path.string() + ": " + (errno != 0 ? reason() : "it is a folder"));
  }
  content << stream.rdbuf();
  if (stream.bad()) throw Error("cannot read " + path.string() + ": " + reason());
  return std::move(content).str();
}

std::string sha256(const std::string& bytes) {
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256(digest, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  return hexadecimal(digest);
}

std::string sha256_file(const std::filesystem::path& path) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream || std::filesystem::is_directory(path)) {
    throw Error("cannot read " + path.string() + ": " + (errno != 0 ? reason() : "it is a folder"));
  }
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  std::vector<char> piece(std::size_t{1} << 20);
  while (stream) {
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(piece.data()),
                              static_cast<unsigned long long>(stream.gcount()));
  }
  if (stream.bad()) throw Error("cannot read " + path.string() + ": " + reason());
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_final(&state, digest);
  return hexadecimal(digest);
}

}  // namespace poise
