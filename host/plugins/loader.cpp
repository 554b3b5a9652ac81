#include "plugins/loader.h"

#include <cxxabi.h>
#include <elf.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <vector>

#include <boost/dll/shared_library.hpp>

#include "poise/error.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const Entry& entry, const std::string& sentence) {
  throw Error("the " + escaped(entry.manifest.kind) + " '" + escaped(entry.manifest.name) +
                  "' cannot be used: " + escaped(sentence),
              Fault::plugin);
}

/// What is wrong with the file as a library, "" when it may be opened. The dynamic linker maps what the program
/// headers promise without asking whether the file has it: a cut-off library would end the process.
std::string_view damage(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  Elf64_Ehdr header{};
  stream.read(reinterpret_cast<char*>(&header), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "is not a shared library";
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return "";  // the linker says it
  const std::uintmax_t size = fs::file_size(file);
  // The section headers come last, so that they are missing even where only debug information was cut off.
  if (header.e_shoff + std::uintmax_t{header.e_shnum} * header.e_shentsize > size) return "is cut off";
  stream.seekg(static_cast<std::streamoff>(header.e_phoff));
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    stream.read(reinterpret_cast<char*>(&segment), sizeof(segment));
    const bool is_there = segment.p_offset <= size && segment.p_filesz <= size - segment.p_offset;
    if (!stream || (segment.p_type == PT_LOAD && !is_there)) return "is cut off";
  }
  return "";
}

std::string demangled(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 ? text : symbol;
  std::free(text);
  return result;
}

/// The dynamic linker's own words, out of Boost.DLL's.
std::string linker_message(const std::string& boost_text) {
  const std::string start = "dlerror system message: ";
  const auto begin = boost_text.find(start);
  if (begin == std::string::npos) return boost_text;
  const auto end = boost_text.rfind("): ");
  return boost_text.substr(begin + start.size(), end == std::string::npos ? end : end - begin - start.size());
}

/// What to tell a person about a library that could not be opened.
std::string open_failure(const fs::path& file, const std::string& linker) {
  const std::string undefined = "undefined symbol: ";
  if (const auto at = linker.find(undefined); at != std::string::npos) {
    const auto begin = at + undefined.size();
    const std::string symbol = linker.substr(begin, linker.find_first_of(" ,\t", begin) - begin);
    return file.string() + " needs " + demangled(symbol) +
           ", which neither this host's SDK and LibTorch nor the libraries that it names have; build it "
           "again with poise_add_plugin(), which finds this when it links, or install another build.";
  }
  return file.string() + " cannot be opened: " + linker + ".";
}

/// LibTorch's libraries in this process; tools that bundle a library rename it to libtorch_cpu-HASH.so.
std::set<std::string> mapped_torches() {
  std::set<std::string> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto path = line.find('/');
    if (path == std::string::npos) continue;
    if (fs::path(line.substr(path)).filename().string().starts_with("libtorch_cpu"))
      files.insert(line.substr(path));
  }
  return files;
}

void check_one_torch(const Entry& entry, const fs::path& file) {
  const auto mapped = mapped_torches();
  if (mapped.size() <= 1) return;
  std::string listed;
  for (const auto& library : mapped) listed += (listed.empty() ? "" : " and ") + library;
  refuse(entry, file.string() + " brings a second LibTorch into the process (" + listed +
                    "); link plugins with poise_add_plugin(), without an own LibTorch.");
}

/// The compiled identity against the manifest's; a field that the two do not share is a difference only where
/// the host knows it.
void check_identity(const Entry& entry, const fs::path& file, const PoisePlugin& plugin) {
  const Manifest& manifest = entry.manifest;
  const std::vector<std::tuple<std::string, const char*, const std::string*>> fields = {
      {"name", plugin.name, &manifest.name},
      {"kind", plugin.kind, &manifest.kind},
      {"version", plugin.version, &manifest.version},
      {"summary", plugin.summary, &manifest.summary},
      {"license", plugin.license, &manifest.license},
      {"interface", plugin.interface, &manifest.interface},
      {"built_with.sdk", plugin.sdk, value_of(manifest.built_with, "sdk")},
      {"built_with.torch", plugin.torch, value_of(manifest.built_with, "torch")},
      {"built_with.torch_variant", plugin.torch_variant, value_of(manifest.built_with, "torch_variant")},
      {"built_with.platform", plugin.platform, value_of(manifest.built_with, "platform")},
      {"built_with.cxx11_abi", plugin.cxx11_abi, value_of(manifest.built_with, "cxx11_abi")},
      {"built_with.gxx_abi", plugin.gxx_abi, value_of(manifest.built_with, "gxx_abi")},
      {"built_with.standard", plugin.standard, value_of(manifest.built_with, "standard")},
      {"built_with.debug_containers", plugin.debug_containers,
       value_of(manifest.built_with, "debug_containers")},
      {"built_with.sanitizer", plugin.sanitizer, value_of(manifest.built_with, "sanitizer")},
  };
  for (const auto& [field, compiled, written] : fields) {
    if (compiled != nullptr && written != nullptr && *written == compiled) continue;
    refuse(entry, "the package is damaged: " + field + " is '" + (compiled != nullptr ? compiled : "") +
                      "' in " + file.filename().string() + ", but '" + (written != nullptr ? *written : "") +
                      "' in plugin.toml; install the plugin again (" + manifest.folder.string() + ").");
  }
  if (plugin.create == nullptr) refuse(entry, file.string() + " has no factory; install the plugin again.");
}

/// A library that is mapped, and its declaration once all is well with it.
struct Opened {
  boost::dll::shared_library library;
  const PoisePlugin* plugin = nullptr;
};

/// Never destroyed: a plugin is not unloaded, not even at exit.
std::map<fs::path, Opened>& opened_libraries() {
  static auto* const libraries = new std::map<fs::path, Opened>;
  return *libraries;
}

void map_library(const Entry& entry, const fs::path& file, boost::dll::shared_library& library) {
  if (const auto problem = damage(file); !problem.empty()) {
    refuse(entry, file.string() + " " + std::string(problem) + "; install the plugin again.");
  }
  try {
    library.load(file.string(), boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const std::exception& error) {
    refuse(entry, open_failure(file, linker_message(error.what())));
  }
}

/// The declaration that the library exports.
const PoisePlugin& declaration(const Entry& entry, const fs::path& file,
                               const boost::dll::shared_library& library) {
  if (!library.has("poise_plugin")) {
    refuse(entry,
           file.string() +
               " does not export poise_plugin, so it is no plugin of Poise, or its source file does not end "
               "with a POISE_* line (poise/plugin.h).");
  }
  const auto& plugin = library.get<const PoisePlugin>("poise_plugin");
  if (plugin.magic != plugin_magic) {
    refuse(entry, "poise_plugin in " + file.string() +
                      " does not begin with Poise's magic number; declare the plugin with a POISE_* line "
                      "(poise/plugin.h).");
  }
  if (plugin.size < sizeof(PoisePlugin)) {
    refuse(entry, "poise_plugin in " + file.string() + " has " + std::to_string(plugin.size) +
                      " bytes, but this host reads " + std::to_string(sizeof(PoisePlugin)) +
                      "; build the plugin again with this SDK.");
  }
  return plugin;
}

fs::path library_of(const Entry& entry) {
  std::error_code error;
  const fs::path file = fs::canonical(entry.manifest.library(), error);
  if (error) refuse(entry, entry.manifest.library().string() + " is missing; install the plugin again.");
  return file;
}

}  // namespace

const PoisePlugin& open_plugin(const Entry& entry) {
  const fs::path file = library_of(entry);
  Opened& opened = opened_libraries()[file];
  if (opened.plugin == nullptr) {
    if (!opened.library.is_loaded()) map_library(entry, file, opened.library);
    check_one_torch(entry, file);
    opened.plugin = &declaration(entry, file, opened.library);
  }
  check_identity(entry, file, *opened.plugin);
  return *opened.plugin;
}

namespace detail {

PluginName plugin_name(const Entry& entry) {
  return {entry.manifest.name, entry.manifest.version, library_of(entry)};
}

void* create_object(const Entry& entry, const char* kind, Config& config) {
  const PoisePlugin& plugin = open_plugin(entry);
  if (entry.manifest.kind != kind) refuse(entry, "it is no " + std::string(kind) + ".");
  try {
    return plugin.create(&config);
  } catch (...) {
    try {
      rethrow_from(plugin_name(entry));
    } catch (const Error& error) {
      // Nothing has run yet: a constructor that fails is a plugin that cannot be used.
      throw Error(error.what(), error.fault() == Fault::usage ? Fault::usage : Fault::plugin);
    }
  }
}

}  // namespace detail
}  // namespace poise
