#pragma once

#include <filesystem>

namespace poise {

/// Keeps other processes out of a run's folder for as long as it lives; the system frees it when the process
/// ends, however it ends. The empty file `lock` stays in the folder.
class FolderLock {
 public:
  /// Throws Error when another process holds the folder, or the file cannot be made.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace poise
