#include "plugins/new_project.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <system_error>

#include "plugins/catalog.h"
#include "poise/error.h"
#include "poise/files.h"
#include "poise/identity.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// Names of targets that CMake keeps for itself.
constexpr std::array reserved = {"all",  "clean",   "edit_cache",    "help",
                                 "test", "install", "rebuild_cache", "package"};

/// The name becomes that of a folder, a file, a target of CMake and, in CamelCase, a class of C++.
void check_name(const std::string& name) {
  const bool is_good = !name.empty() && std::islower(static_cast<unsigned char>(name.front())) != 0 &&
                       std::ranges::all_of(name, [](unsigned char c) {
                         return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
                       });
  if (!is_good) {
    throw Error(
        "the name '" + escaped(name) +
            "' cannot be a plugin's: it must begin with a small letter, and hold small letters, digits and "
            "'_' only, as in my_method.",
        Fault::usage);
  }
  if (std::ranges::find(reserved, name) != reserved.end()) {
    throw Error("the name '" + name + "' is one of CMake's own targets: choose another.", Fault::usage);
  }
  const Catalog catalog(search_folders());
  for (const auto& entry : catalog.entries()) {
    if (entry.manifest.name != name) continue;
    throw Error("there is a plugin '" + name + "' already (" + escaped(entry.manifest.folder.string()) +
                    "), and the first that is found hides the others: choose another name.",
                Fault::usage);
  }
}

/// "my_method": "MyMethod".
std::string camel_case(const std::string& name) {
  std::string result;
  bool is_start = true;
  for (const char c : name) {
    if (c != '_') result += is_start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    is_start = c == '_';
  }
  return result;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

using Texts = std::map<std::string, std::string>;

/// The templates FOLDER/*.in as they are, by name without ".in".
void read_templates(const fs::path& folder, Texts& texts) {
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder, error)) {
    if (file.path().extension() == ".in") texts[file.path().stem().string()] = read_file(file.path());
  }
  if (error) {
    throw Error("the templates in " + folder.string() + " cannot be read (" + error.message() +
                "); they are a part of Poise: install or build Poise again.");
  }
}

/// The project's files by name.
Texts project_files(const std::string& kind, const std::string& name) {
  Texts templates;
  const fs::path folder = installation() / "share/poise/templates";
  read_templates(folder, templates);
  read_templates(folder / kind, templates);
  Texts files;
  for (auto& [file, text] : templates) {
    replace_all(text, "@NAME@", name);
    replace_all(text, "@CLASS@", camel_case(name));
    replace_all(text, "@KIND@", kind);
    replace_all(text, "@SDK@", POISE_SDK_VERSION);
    const bool is_named = file.starts_with("plugin");
    files[is_named ? name + file.substr(std::string("plugin").size()) : file] = text;
  }
  return files;
}

}  // namespace

fs::path make_project(const std::string& kind, const std::string& name, const fs::path& parent) {
  check_name(name);
  const fs::path folder = parent / name;
  if (fs::symlink_status(folder).type() != fs::file_type::not_found) {
    throw Error(escaped(folder.string()) + " exists already: choose another name, or remove it.",
                Fault::usage);
  }
  const Texts files = project_files(kind, name);

  const fs::path partial = parent / ("." + name + "." + std::to_string(::getpid()));
  try {
    fs::create_directory(partial);
    for (const auto& [file, text] : files) write_file(partial / file, text);
    fs::rename(partial, folder);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw;
  }
  return folder;
}

}  // namespace poise
