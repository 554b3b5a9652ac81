#include "pipeline/document.h"

#include <algorithm>
#include <sstream>

#include "pipeline/toml_text.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/files.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& position, const std::string& sentence) {
  throw Error(position + ": " + sentence, Fault::usage);
}

toml::table parse_file(const fs::path& file) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const Error& error) {
    throw Error(error.what(), Fault::usage);
  }
  try {
    return toml::parse(text, std::string_view(file.native()));
  } catch (const toml::parse_error& error) {
    refuse(where(error.source()), std::string(error.description()) + ".");
  }
}

/// A file that is being read, and the place that includes it.
struct Reading {
  fs::path canonical;
  const Reading* includer = nullptr;
};

void read_into(Document& document, const fs::path& file, const std::string& position,
               const Reading* includer) {
  const Reading reading{fs::weakly_canonical(file), includer};
  for (const Reading* outer = includer; outer != nullptr; outer = outer->includer) {
    if (outer->canonical == reading.canonical) {
      refuse(position, "include goes in a circle: " + file.string() + " is already being read.");
    }
  }
  if (includer != nullptr && !fs::exists(file)) refuse(position, "there is no file " + file.string() + ".");

  toml::table table = parse_file(file);
  if (const toml::node* include = table.get("include")) {
    const toml::array* files = include->as_array();
    if (files == nullptr) refuse(where(*include), "include must be a list of files.");
    for (const auto& element : *files) {
      const auto* name = element.as_string();
      if (name == nullptr) refuse(where(element), "include must be a list of files.");
      read_into(document, (file.parent_path() / name->get()).lexically_normal(), where(element), &reading);
    }
    table.erase("include");
  }
  merge(document.table, std::move(table));
  document.sources.push_back(file.string());
}

/// True when `text` is meant as it stands: it does not begin like a TOML value that went wrong.
bool is_word(const std::string& text) { return std::string("[{\"'").find(text.front()) == std::string::npos; }

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Merges a setting into the table; one of the matrix into each table of [[matrix]].
void add_setting(const std::string& setting, toml::table& table) {
  toml::table change = read_setting(setting);
  toml::array* matrices = change.contains("matrix") ? table["matrix"].as_array() : nullptr;
  if (matrices == nullptr || !change.get("matrix")->is_table()) {
    merge(table, std::move(change));
    return;
  }
  for (toml::node& matrix : *matrices) {
    if (!matrix.is_table()) continue;
    // Read again for each: a copy would forget its place.
    toml::table again = read_setting(setting);
    merge(*matrix.as_table(), std::move(*again.get("matrix")->as_table()));
  }
}

}  // namespace

void merge(toml::table& into, toml::table&& from) {
  if (into.empty() && !into.source().path) {
    into = std::move(from);  // so that the whole has a place, too
    return;
  }
  for (auto&& [key, node] : from) {
    toml::node* present = into.get(key.str());
    if (present != nullptr && present->is_table() && node.is_table()) {
      merge(*present->as_table(), std::move(*node.as_table()));
    } else {
      into.insert_or_assign(key, std::move(node));
    }
  }
}

void place(toml::table& table, const std::string& dotted, toml::node&& node) {
  const auto dot = dotted.find('.');
  const std::string key = dotted.substr(0, dot);
  if (dot == std::string::npos) {
    table.insert_or_assign(key, std::move(node));
    return;
  }
  toml::node* next = table.get(key);
  if (next == nullptr) next = &table.insert_or_assign(key, toml::table{}).first->second;
  if (!next->is_table())
    refuse(where(*next), key + " must be a table, since " + dotted + " is set below it.");
  place(*next->as_table(), dotted.substr(dot + 1), std::move(node));
}

toml::table read_setting(const std::string& setting) {
  const std::string source = "--set " + setting;
  const auto equals = setting.find('=');
  const std::string value = equals == std::string::npos ? "" : trimmed(setting.substr(equals + 1));
  if (value.empty() || value.find('\n') != std::string::npos) {
    refuse(source, "must read KEY=VALUE on one line, as in train.epochs=2.");
  }
  const std::string key = setting.substr(0, equals);
  const auto parsed = [&](const std::string& text) { return toml::parse(key + " = " + text, source); };
  try {
    return parsed(value);
  } catch (const toml::parse_error& error) {
    try {
      if (is_word(value)) return parsed(toml_text(toml::value<std::string>(value)));
    } catch (const toml::parse_error&) {  // then it is the key that is wrong
    }
    refuse(source, std::string(error.description()) + ".");
  }
}

Document read_document(const fs::path& file, const std::vector<std::string>& settings) {
  Document document;
  read_into(document, file, "", nullptr);
  for (const auto& setting : settings) {
    add_setting(setting, document.table);
    document.sources.push_back("--set " + setting);
  }
  return document;
}

}  // namespace poise
