#include "pipeline/toml_text.h"

#include <charconv>
#include <sstream>

namespace poise {
namespace {

std::string number(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

std::string key_text(const toml::key& key) {
  const auto name = key.str();
  const bool bare = !name.empty() && name.find_first_not_of(
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789_-") == std::string_view::npos;
  return bare ? std::string(name) : toml_text(toml::value<std::string>(name));
}

/// What TOML++ writes for a scalar, texts in double quotes and integers in decimal.
std::string scalar(const toml::node& node) {
  std::ostringstream text;
  text << toml::toml_formatter(node, toml::format_flags::none);
  return text.str();
}

std::string list(const toml::array& array) {
  std::string text;
  for (const auto& element : array) text += (text.empty() ? "" : ", ") + toml_text(element);
  return "[" + text + "]";
}

std::string inline_table(const toml::table& table) {
  std::string text;
  for (const auto& [key, node] : table) {
    text += (text.empty() ? " " : ", ") + key_text(key) + " = " + toml_text(node);
  }
  return "{" + text + " }";
}

void write_section(const toml::table& table, const std::string& name, std::string& text) {
  std::string values;
  for (const auto& [key, node] : table) {
    if (!node.is_table()) values += key_text(key) + " = " + toml_text(node) + "\n";
  }
  if (!values.empty()) {
    text += text.empty() ? "" : "\n";
    text += (name.empty() ? "" : "[" + name + "]\n") + values;
  }
  for (const auto& [key, node] : table) {
    if (!node.is_table()) continue;
    write_section(*node.as_table(), (name.empty() ? "" : name + ".") + key_text(key), text);
  }
}

void write_lines(const toml::table& table, const std::string& prefix, std::string& text) {
  for (const auto& [key, node] : table) {
    if (const auto* inner = node.as_table()) {
      write_lines(*inner, prefix + key_text(key) + ".", text);
    } else {
      text += prefix + key_text(key) + " = " + toml_text(node) + "\n";
    }
  }
}

}  // namespace

std::string toml_text(const toml::node& node) {
  if (const auto* value = node.as_floating_point()) return number(value->get());
  if (const auto* array = node.as_array()) return list(*array);
  if (const auto* table = node.as_table()) return inline_table(*table);
  return scalar(node);
}

std::string toml_file(const toml::table& table) {
  std::string text;
  write_section(table, "", text);
  return text;
}

std::string toml_lines(const toml::table& table) {
  std::string text;
  write_lines(table, "", text);
  return text;
}

}  // namespace poise
