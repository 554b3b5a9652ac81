// Preloaded into a process, breaks it inside the writing of a file, at a chosen call: what a power cut or a full disk
// does at a moment that no test could hit by hand.
//
//   POISE_FAULT=kill   the process gets SIGKILL instead of the call
//   POISE_FAULT=full   this call and all later ones fail with "No space left on device"
//   POISE_FAULT_AT=N   the N-th call, from 1, of write, writev, fsync or rename on a file whose path holds
//   POISE_FAULT_PATH=TEXT
#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>
#include <csignal>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

std::atomic<long> calls = 0;

/// True when this call must fail for lack of space.
bool breaks(const std::string& path) {
  const char* wanted = std::getenv("POISE_FAULT_PATH");
  const char* at = std::getenv("POISE_FAULT_AT");
  const char* fault = std::getenv("POISE_FAULT");
  if (wanted == nullptr || at == nullptr || fault == nullptr || path.find(wanted) == std::string::npos)
    return false;
  const long call = ++calls;
  if (call < std::strtol(at, nullptr, 10)) return false;
  if (std::string(fault) == "kill") raise(SIGKILL);
  errno = ENOSPC;
  return true;
}

std::string path_of(int descriptor) {
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  char path[4096];
  const ssize_t length = readlink(link.c_str(), path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "";
}

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library reserves its own names
extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto next = original<ssize_t (*)(int, const void*, size_t)>("write");
  return breaks(path_of(descriptor)) ? -1 : next(descriptor, bytes, count);
}

ssize_t writev(int descriptor, const iovec* parts, int count) {
  static const auto next = original<ssize_t (*)(int, const iovec*, int)>("writev");
  return breaks(path_of(descriptor)) ? -1 : next(descriptor, parts, count);
}

int fsync(int descriptor) {
  static const auto next = original<int (*)(int)>("fsync");
  return breaks(path_of(descriptor)) ? -1 : next(descriptor);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = original<int (*)(const char*, const char*)>("rename");
  return breaks(from) ? -1 : next(from, to);
}
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
