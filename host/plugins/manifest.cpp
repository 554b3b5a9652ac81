#include "plugins/manifest.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include <toml++/toml.h>

#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/files.h"

namespace poise {
namespace {

/// No manifest that poise_add_plugin() writes comes near; what is larger is something else.
constexpr std::uintmax_t max_manifest_bytes = 65536;

[[noreturn]] void refuse(const std::string& sentence) { throw Error(sentence, Fault::plugin); }

/// A name is the name of a folder and of a file: nothing in it may lead elsewhere.
bool is_name(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
}

std::string required_text(const toml::table& table, const std::string& key, const std::string& file) {
  const toml::node* node = table.get(key);
  if (node == nullptr) refuse(file + ": " + key + " is missing.");
  if (!node->is_string()) refuse(where(*node) + ": " + key + " must be a text in quotes.");
  return *node->value<std::string>();
}

/// Any value as text: a field that another version writes as a number is still shown.
std::string text_of(const toml::node& node) {
  if (const auto text = node.value<std::string>()) return *text;
  std::ostringstream stream;
  node.visit([&](const auto& value) { stream << value; });
  return stream.str();
}

/// The fields in the order in which they stand in the file; a table of TOML++ is sorted by name.
Identity read_identity(const toml::table& table, const std::string& file) {
  const toml::table* built_with = table["built_with"].as_table();
  if (built_with == nullptr) refuse(file + ": the table [built_with] is missing.");
  std::vector<std::pair<toml::source_position, std::pair<std::string, std::string>>> fields;
  for (const auto& [key, node] : *built_with) {
    fields.push_back({key.source().begin, {std::string(key.str()), text_of(node)}});
  }
  std::ranges::sort(fields, {}, [](const auto& field) { return field.first; });
  Identity identity;
  for (auto& [position, field] : fields) identity.push_back(std::move(field));
  return identity;
}

toml::table parse(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) refuse(file.string() + " is not a file.");
  if (std::filesystem::file_size(file, ignored) > max_manifest_bytes) {
    refuse(file.string() + " is too large for a manifest.");
  }
  try {
    return toml::parse(read_file(file), file.string());
  } catch (const toml::parse_error& error) {
    std::ostringstream text;
    text << file.string() << ":" << error.source().begin.line << ":" << error.source().begin.column << ": "
         << error.description();
    refuse(text.str());
  } catch (const Error& error) {
    refuse(error.what());
  }
}

/// The length of the UTF-8 sequence at `text[i]` that is safe to print, or 0.
std::size_t printable_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : static_cast<unsigned char>(0);
  };
  const unsigned char lead = byte(i);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const std::size_t length = lead >= 0xc2 && lead < 0xe0 ? 2
                             : (lead & 0xf0) == 0xe0     ? 3
                             : (lead & 0xf8) == 0xf0     ? 4
                                                         : 0;
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  }
  const bool is_control = lead == 0xc2 && byte(i + 1) < 0xa0;  // U+0080 to U+009F
  // U+202A to U+202E and U+2066 to U+2069 change the direction of what follows.
  const bool turns = lead == 0xe2 && ((byte(i + 1) == 0x80 && byte(i + 2) >= 0xaa && byte(i + 2) <= 0xae) ||
                                      (byte(i + 1) == 0x81 && byte(i + 2) >= 0xa6 && byte(i + 2) <= 0xa9));
  return is_control || turns ? 0 : length;
}

}  // namespace

std::filesystem::path Manifest::library() const { return folder / (name + ".so"); }

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "plugin.toml";
  const toml::table table = parse(path);
  const std::string file = path.string();
  Manifest manifest;
  manifest.folder = folder;
  manifest.name = required_text(table, "name", file);
  manifest.kind = required_text(table, "kind", file);
  manifest.version = required_text(table, "version", file);
  manifest.summary = required_text(table, "summary", file);
  manifest.license = required_text(table, "license", file);
  manifest.interface = required_text(table, "interface", file);
  manifest.built_with = read_identity(table, file);
  if (!is_name(manifest.name)) {
    refuse(where(*table.get("name")) + ": the name '" + escaped(manifest.name) +
           "' may hold letters, digits, '_' and '-' only.");
  }
  if (manifest.name != folder.filename()) {
    refuse(where(*table.get("name")) + ": the folder of the plugin '" + manifest.name +
           "' must bear its name.");
  }
  return manifest;
}

const std::string* value_of(const Identity& identity, const std::string& field) {
  const auto found = std::ranges::find_if(identity, [&](const auto& entry) { return entry.first == field; });
  return found == identity.end() ? nullptr : &found->second;
}

std::string escaped(const std::string& text) {
  constexpr const char* digits = "0123456789abcdef";
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (const std::size_t length = printable_length(text, i); length > 0) {
      result.append(text, i, length);
      i += length;
    } else {
      const auto byte = static_cast<unsigned char>(text[i++]);
      result += {'\\', 'x', digits[byte >> 4], digits[byte & 0xf]};
    }
  }
  return result;
}

}  // namespace poise
