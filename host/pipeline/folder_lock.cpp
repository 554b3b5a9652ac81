#include "pipeline/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "poise/error.h"

namespace poise {

FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    throw Error("cannot write into the folder " + folder.string() + ": " + std::strerror(errno) + ".");
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(descriptor_);
  if (reason == EWOULDBLOCK) {
    throw Error(
        "the folder " + folder.string() +
        " is in use by another process of poise; wait for it, or choose another folder with --output.");
  }
  throw Error("cannot lock the folder " + folder.string() + ": " + std::strerror(reason) + ".");
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace poise
