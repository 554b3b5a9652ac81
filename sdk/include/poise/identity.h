#pragma once

#include <cstdint>

#include <torch/version.h>

/// What a binary was built with, field by field. The host compares a plugin's fields with its own before it
/// opens the library.

#define POISE_SDK_VERSION "0.1"

#define POISE_DETAIL_TEXT2(x) #x
#define POISE_DETAIL_TEXT(x) POISE_DETAIL_TEXT2(x)

/// LibTorch's version, "2.11.0". Its variant (cpu, cu130) is no macro of LibTorch: CMake gives it.
#define POISE_BUILT_TORCH TORCH_VERSION
#ifndef POISE_TORCH_VARIANT
#error "POISE_TORCH_VARIANT is not defined: build plugins with poise_add_plugin()"
#endif

#if defined(__linux__) && defined(__x86_64__) && defined(__GLIBC__)
#define POISE_BUILT_PLATFORM "linux-x86_64-gnu"
#elif defined(__linux__) && defined(__aarch64__) && defined(__GLIBC__)
#define POISE_BUILT_PLATFORM "linux-aarch64-gnu"
#else
#error "Poise runs on Linux with glibc, x86_64 or aarch64"
#endif

#define POISE_BUILT_CXX11_ABI POISE_DETAIL_TEXT(_GLIBCXX_USE_CXX11_ABI)
#define POISE_BUILT_GXX_ABI POISE_DETAIL_TEXT(__GXX_ABI_VERSION)

#if __cplusplus >= 202002L && __cplusplus < 202302L
#define POISE_BUILT_STANDARD "20"
#else
#error "Poise and its plugins are built as C++20"
#endif

#ifdef _GLIBCXX_DEBUG
#define POISE_BUILT_CONTAINERS "debug"
#else
#define POISE_BUILT_CONTAINERS "release"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define POISE_BUILT_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__)
#define POISE_BUILT_SANITIZER "thread"
#else
#define POISE_BUILT_SANITIZER "none"
#endif

namespace poise {
class Config;
inline constexpr std::uint64_t plugin_magic = 0x474c504553494f50;  // "POISEPLG", never changes
}  // namespace poise

extern "C" {

/// The exported constant `poise_plugin` of every plugin. Plain C types; `magic` and `size` first, so that any
/// host can tell what it reads. Fields are only ever added at the end.
struct PoisePlugin {
  std::uint64_t magic;
  std::uint64_t size;
  const char* name;
  const char* kind;  ///< "dataset", "encoder", "fusion" or "modulation"
  const char* version;
  const char* summary;
  const char* license;
  const char* interface;  ///< "poise.KIND/REVISION"
  const char* sdk;        ///< "major.minor"
  const char* torch;
  const char* torch_variant;
  const char* platform;
  const char* cxx11_abi;
  const char* gxx_abi;
  const char* standard;
  const char* debug_containers;
  const char* sanitizer;
  /// A new object, as a pointer to its kind's interface class; the caller owns it. Throws.
  void* (*create)(poise::Config* config);
};
}
