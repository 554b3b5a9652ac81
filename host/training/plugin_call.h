#pragma once

#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace poise {

/// Who is called, for messages.
struct PluginName {
  std::string name;
  std::string version;
  std::filesystem::path file;
};

/// Rethrows the exception in flight as an Error whose sentence begins with the plugin it came from. What
/// LibTorch throws is cut to its first line.
[[noreturn]] void rethrow_from(const PluginName& plugin);

/// A plugin's object and who made it. Every call from the host into a plugin goes through call().
template <class Interface>
struct Loaded {
  std::shared_ptr<Interface> object;
  PluginName name;

  template <class Function>
  decltype(auto) call(Function&& function) const {
    try {
      return std::forward<Function>(function)(*object);
    } catch (...) {
      rethrow_from(name);
    }
  }
};

}  // namespace poise
