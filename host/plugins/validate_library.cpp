#include "plugins/validate_library.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>
#include <boost/core/demangle.hpp>

#include "plugins/loader.h"

namespace poise {
namespace {

using testing::Finding;
using testing::Outcome;

/// A file as libelf sees it; null when it cannot be read.
class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    elf_version(EV_CURRENT);
    elf_ = elf_begin(descriptor_, ELF_C_READ, nullptr);
  }
  ~ElfFile() {
    elf_end(elf_);
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  [[nodiscard]] Elf* get() const { return elf_; }

 private:
  int descriptor_;
  Elf* elf_ = nullptr;
};

/// The symbols that a library offers to others, as they are linked.
std::vector<std::string> exported_symbols(Elf* elf) {
  std::vector<std::string> names;
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    GElf_Sym symbol;
    for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      if (symbol.st_shndx == SHN_UNDEF || GELF_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name != nullptr) names.emplace_back(name);
    }
  }
  return names;
}

Finding opens(const Entry& entry) {
  open_plugin(entry);
  return {};
}

Finding exports(const Entry& entry) {
  const std::filesystem::path file = entry.manifest.library();
  const ElfFile elf(file);
  if (elf_kind(elf.get()) != ELF_K_ELF) return {Outcome::failed, file.string() + " is no ELF file."};
  std::vector<std::string> others = exported_symbols(elf.get());
  if (std::erase(others, "poise_plugin") == 0) return {Outcome::failed, "it does not export poise_plugin."};
  if (others.empty()) return {};
  std::string listed;
  for (std::size_t i = 0; i < std::min<std::size_t>(others.size(), 3); ++i) {
    listed += (i == 0 ? "" : ", ") + boost::core::demangle(others[i].c_str());
  }
  if (others.size() > 3) listed += fmt::format(" and {} more", others.size() - 3);
  return {Outcome::failed,
          "it exports " + listed +
              " beside poise_plugin, which may take the place of another library's; link it with "
              "poise_add_plugin()."};
}

}  // namespace

const std::vector<LibraryCheck>& library_checks() {
  static const std::vector<LibraryCheck> checks = {
      {"opens",
       "the host opens it: no symbol is missing, plugin.toml says what was compiled, one LibTorch is in the "
       "process",
       opens},
      {"exports", "poise_plugin is the only symbol that other libraries see", exports},
  };
  return checks;
}

}  // namespace poise
