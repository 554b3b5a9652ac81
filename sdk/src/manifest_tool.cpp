// poise-manifest LIBRARY OUTPUT: writes plugin.toml from the identity compiled into a plugin. Run by
// poise_add_plugin() after linking, so that nobody writes a manifest by hand; it also proves that the library
// loads.
#include <dlfcn.h>

#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>

#include "poise/identity.h"

namespace {

/// A TOML basic string.
std::string quoted(const char* text) {
  std::ostringstream result;
  result << '"' << std::hex << std::setfill('0');
  for (const char* c = text; *c != '\0'; ++c) {
    const auto byte = static_cast<unsigned char>(*c);
    if (byte < 0x20 || byte == 0x7f) {
      result << "\\u" << std::setw(4) << static_cast<int>(byte);
    } else {
      if (*c == '"' || *c == '\\') result << '\\';
      result << *c;
    }
  }
  return result.str() + '"';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: poise-manifest LIBRARY OUTPUT\n";
    return 2;
  }
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  const void* symbol = library != nullptr ? dlsym(library, "poise_plugin") : nullptr;
  if (symbol == nullptr) {
    std::cerr << "poise-manifest: " << dlerror()
              << "\nA plugin's source file ends with a POISE_* line (see poise/plugin.h).\n";
    return 1;
  }
  const auto& plugin = *static_cast<const PoisePlugin*>(symbol);
  std::ofstream out(argv[2]);
  out << "# Generated from the library by poise_add_plugin(); do not edit.\n"
      << "name      = " << quoted(plugin.name) << "\nkind      = " << quoted(plugin.kind)
      << "\nversion   = " << quoted(plugin.version) << "\nsummary   = " << quoted(plugin.summary)
      << "\nlicense   = " << quoted(plugin.license) << "\ninterface = " << quoted(plugin.interface)
      << "\n\n[built_with]\nsdk              = " << quoted(plugin.sdk)
      << "\ntorch            = " << quoted(plugin.torch)
      << "\ntorch_variant    = " << quoted(plugin.torch_variant)
      << "\nplatform         = " << quoted(plugin.platform)
      << "\ncxx11_abi        = " << quoted(plugin.cxx11_abi)
      << "\ngxx_abi          = " << quoted(plugin.gxx_abi)
      << "\nstandard         = " << quoted(plugin.standard)
      << "\ndebug_containers = " << quoted(plugin.debug_containers)
      << "\nsanitizer        = " << quoted(plugin.sanitizer) << "\n";
  out.close();
  if (!out) {
    std::cerr << "poise-manifest: cannot write " << argv[2] << '\n';
    return 1;
  }
  return 0;
}
