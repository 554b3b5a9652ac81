#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>

namespace poise {

/// Where Poise keeps what can be made again: $XDG_CACHE_HOME/poise, else ~/.cache/poise, else poise-cache in
/// the folder for temporary files. Not created here.
std::filesystem::path cache_directory();

/// Replaces the file at `path` as a whole or not at all: `write` fills a file beside it, which is synced and
/// renamed. Throws Error naming the file and the reason (disk full, no permission), leaving the old file and
/// nothing else behind.
void write_file(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);
void write_file(const std::filesystem::path& path, const std::string& content);

/// The whole file. Throws Error naming it when it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// SHA-256 of `bytes`, as 64 hexadecimal digits.
std::string sha256(const std::string& bytes);
/// SHA-256 of a file's content, read piece by piece. Throws Error naming the file when it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace poise
