#pragma once

#include <cstdint>
#include <type_traits>

#include "poise/config.h"
#include "poise/identity.h"

/// How a plugin declares itself: the last line of its one source file is one of
///
///   POISE_DATASET(Class, "name", "summary");
///   POISE_ENCODER(Class, "name", "summary");
///   POISE_FUSION(Class, "name", "summary");
///   POISE_MODULATION(Class, "name", "summary");
///
/// It defines `poise_plugin`, the one symbol that a plugin exports: who it is, what it was built with, and a
/// factory. `poise_add_plugin()` gives the version and the licence, and writes plugin.toml from this symbol.

// Given by poise_add_plugin().
#ifndef POISE_PLUGIN_VERSION
#define POISE_PLUGIN_VERSION "0.0.0"
#endif
#ifndef POISE_PLUGIN_LICENSE
#define POISE_PLUGIN_LICENSE "unknown"
#endif

namespace poise {
class Dataset;
class Encoder;
class Fusion;
class Modulation;
}  // namespace poise

namespace poise::detail {

template <class Interface, class Class>
void* create(Config* config) {
  static_assert(std::is_base_of_v<Interface, Class>,
                "the class of a POISE_* line must derive from the interface of that kind");
  static_assert(std::is_constructible_v<Class, Config&>,
                "a plugin's class needs a constructor that takes poise::Config&");
  static_assert(!std::is_abstract_v<Class>, "a plugin's class must override every pure function of its kind");
  return static_cast<Interface*>(new Class(*config));
}

}  // namespace poise::detail

#define POISE_DETAIL_PLUGIN(Interface, Class, kind_, name_, summary_)           \
  extern "C" {                                                                  \
  __attribute__((visibility("default"))) extern const PoisePlugin poise_plugin; \
  const PoisePlugin poise_plugin = {poise::plugin_magic,                        \
                                    sizeof(PoisePlugin),                        \
                                    name_,                                      \
                                    kind_,                                      \
                                    POISE_PLUGIN_VERSION,                       \
                                    summary_,                                   \
                                    POISE_PLUGIN_LICENSE,                       \
                                    "poise." kind_ "/1",                        \
                                    POISE_SDK_VERSION,                          \
                                    POISE_BUILT_TORCH,                          \
                                    POISE_TORCH_VARIANT,                        \
                                    POISE_BUILT_PLATFORM,                       \
                                    POISE_BUILT_CXX11_ABI,                      \
                                    POISE_BUILT_GXX_ABI,                        \
                                    POISE_BUILT_STANDARD,                       \
                                    POISE_BUILT_CONTAINERS,                     \
                                    POISE_BUILT_SANITIZER,                      \
                                    &poise::detail::create<Interface, Class>};  \
  }                                                                             \
  static_assert(true, "so that the line ends with a semicolon")

#define POISE_DATASET(Class, name, summary) \
  POISE_DETAIL_PLUGIN(poise::Dataset, Class, "dataset", name, summary)
#define POISE_ENCODER(Class, name, summary) \
  POISE_DETAIL_PLUGIN(poise::Encoder, Class, "encoder", name, summary)
#define POISE_FUSION(Class, name, summary) POISE_DETAIL_PLUGIN(poise::Fusion, Class, "fusion", name, summary)
#define POISE_MODULATION(Class, name, summary) \
  POISE_DETAIL_PLUGIN(poise::Modulation, Class, "modulation", name, summary)
