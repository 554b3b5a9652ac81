#include "poise/config.h"

#include <algorithm>
#include <sstream>

#include "config_text.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/suggest.h"

namespace poise {

struct Config::Impl {
  std::shared_ptr<const toml::table> table;  ///< null: only collecting declarations
  std::string name;
  std::vector<Option> options;
  std::vector<std::string> read;  ///< keys asked for, tables included
  std::vector<std::pair<std::string, std::shared_ptr<Impl>>> tables;
};

namespace {

/// False for what the command line sets: its source is the text of the setting.
bool is_in_a_file(const toml::source_region& source) {
  return source.path && !source.path->starts_with("--set");
}

std::string dotted(const Config::Impl& impl, const std::string& key) {
  return impl.name.empty() ? key : impl.name + "." + key;
}

[[noreturn]] void refuse(const toml::node& node, const std::string& sentence) {
  const std::string position = where(node);
  throw Error((position.empty() ? "" : position + ": ") + sentence, Fault::usage);
}

/// Records the declaration and finds the node; null when the key is not given.
const toml::node* declare(Config::Impl& impl, Option option) {
  const std::string key = option.key;
  const bool must = option.is_required;
  const std::string meaning = option.meaning;
  impl.options.push_back(std::move(option));
  impl.read.push_back(key);
  if (!impl.table) return nullptr;
  const toml::node* node = impl.table->get(key);
  if (node == nullptr && must) {
    refuse(*impl.table, dotted(impl, key) + " is required (" + meaning + ").");
  }
  return node;
}

void check_range(const Config::Impl& impl, const std::string& key, const toml::node& node, double value,
                 const Range& range, const std::string& meaning) {
  if (value >= range.min && value <= range.max) return;  // NaN is refused
  std::string wanted = described(range);
  if (wanted.empty()) wanted = "a number";
  refuse(node,
         dotted(impl, key) + " is " + written(value) + ", but must be " + wanted + " (" + meaning + ").");
}

[[noreturn]] void wrong_type(const Config::Impl& impl, const std::string& key, const toml::node& node,
                             const std::string& wanted, const std::string& meaning) {
  std::ostringstream found;
  found << node.type();
  refuse(node, dotted(impl, key) + " must be " + wanted + ", not " + found.str() + " (" + meaning + ").");
}

double read_number(Config::Impl& impl, const Option& option, const toml::node* node, double otherwise,
                   Range range) {
  if (node == nullptr) return otherwise;
  if (!node->is_number()) wrong_type(impl, option.key, *node, "a number", option.meaning);
  const double value = *node->value<double>();
  check_range(impl, option.key, *node, value, range, option.meaning);
  return value;
}

std::string read_text(Config::Impl& impl, const Option& option, const toml::node* node,
                      const std::string& otherwise) {
  if (node == nullptr) return otherwise;
  if (!node->is_string()) wrong_type(impl, option.key, *node, "a text in quotes", option.meaning);
  return *node->value<std::string>();
}

template <class T>
std::vector<T> read_list(Config::Impl& impl, const Option& option, const std::vector<T>& otherwise,
                         const std::string& wanted, Range range) {
  const toml::node* node = declare(impl, option);
  if (node == nullptr) return otherwise;
  if (!node->is_array()) wrong_type(impl, option.key, *node, wanted, option.meaning);
  std::vector<T> values;
  for (const auto& element : *node->as_array()) {
    constexpr bool is_real = std::is_same_v<T, double>;
    if (is_real ? !element.is_number() : !element.template is<T>()) {
      wrong_type(impl, option.key, element, wanted, option.meaning);
    }
    values.push_back(*element.template value<T>());
    if constexpr (std::is_arithmetic_v<T>) {
      check_range(impl, option.key, element, static_cast<double>(values.back()), range, option.meaning);
    }
  }
  return values;
}

std::filesystem::path read_path(Config::Impl& impl, const Option& option, const toml::node* node,
                                const std::filesystem::path& otherwise) {
  std::filesystem::path path = read_text(impl, option, node, otherwise.string());
  if (node == nullptr || path.empty() || path.is_absolute()) return path;
  return std::filesystem::absolute(folder_of(*node) / path).lexically_normal();
}

}  // namespace

std::string where(const toml::source_region& source) {
  if (!source.path) return "";
  if (!is_in_a_file(source)) return *source.path;
  return *source.path + ":" + std::to_string(source.begin.line) + ":" + std::to_string(source.begin.column);
}

std::filesystem::path folder_of(const toml::node& node) {
  const toml::source_region& source = node.source();
  return is_in_a_file(source) ? std::filesystem::path(*source.path).parent_path() : std::filesystem::path();
}

Config make_config(std::shared_ptr<const toml::table> table, const std::string& name) {
  auto impl = std::make_shared<Config::Impl>();
  impl->table = std::move(table);
  impl->name = name;
  return Config(std::move(impl));
}

Config::Config(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Config::~Config() = default;

Config Config::recording() { return Config(std::make_shared<Impl>()); }

Config Config::parse(const std::string& text, const std::filesystem::path& source) {
  try {
    return make_config(std::make_shared<toml::table>(toml::parse(text, source.string())), "");
  } catch (const toml::parse_error& error) {
    std::ostringstream position;
    position << source.string() << ":" << error.source().begin.line << ":" << error.source().begin.column;
    throw Error(position.str() + ": " + std::string(error.description()), Fault::usage);
  }
}

double Config::number(const std::string& key, double default_value, Range range, const std::string& meaning) {
  const Option option{key, "number", written(default_value), false, described(range), meaning};
  return read_number(*impl_, option, declare(*impl_, option), default_value, range);
}

double Config::number(const std::string& key, Required, Range range, const std::string& meaning) {
  const Option option{key, "number", "", true, described(range), meaning};
  const double placeholder = std::isfinite(range.min)   ? range.min
                             : std::isfinite(range.max) ? range.max
                                                        : 0.0;
  return read_number(*impl_, option, declare(*impl_, option), placeholder, range);
}

std::int64_t Config::integer(const std::string& key, std::int64_t default_value, Range range,
                             const std::string& meaning) {
  const Option option{key, "integer", std::to_string(default_value), false, described(range), meaning};
  const toml::node* node = declare(*impl_, option);
  if (node == nullptr) return default_value;
  if (!node->is_integer()) wrong_type(*impl_, key, *node, "a whole number", meaning);
  const auto value = *node->value<std::int64_t>();
  check_range(*impl_, key, *node, static_cast<double>(value), range, meaning);
  return value;
}

bool Config::boolean(const std::string& key, bool default_value, const std::string& meaning) {
  const toml::node* node =
      declare(*impl_, {key, "boolean", default_value ? "true" : "false", false, "", meaning});
  if (node == nullptr) return default_value;
  if (!node->is_boolean()) wrong_type(*impl_, key, *node, "true or false", meaning);
  return *node->value<bool>();
}

std::string Config::text(const std::string& key, const std::string& default_value,
                         const std::string& meaning) {
  const Option option{key, "text", quoted(default_value), false, "", meaning};
  return read_text(*impl_, option, declare(*impl_, option), default_value);
}

std::string Config::text(const std::string& key, Required, const std::string& meaning) {
  const Option option{key, "text", "", true, "", meaning};
  return read_text(*impl_, option, declare(*impl_, option), "");
}

std::string Config::choice(const std::string& key, const std::string& default_value,
                           const std::vector<std::string>& choices, const std::string& meaning) {
  std::string listed;
  for (const auto& choice : choices) listed += (listed.empty() ? "" : ", ") + quoted(choice);
  const Option option{key, "text", quoted(default_value), false, "one of " + listed, meaning};
  const toml::node* node = declare(*impl_, option);
  const std::string value = read_text(*impl_, option, node, default_value);
  if (node != nullptr && std::ranges::find(choices, value) == choices.end()) {
    refuse(*node, dotted(*impl_, key) + " is " + quoted(value) + ", but must be one of " + listed + " (" +
                      meaning + ").");
  }
  return value;
}

std::filesystem::path Config::path(const std::string& key, const std::filesystem::path& default_value,
                                   const std::string& meaning) {
  const Option option{key, "path", quoted(default_value.string()), false, "", meaning};
  return read_path(*impl_, option, declare(*impl_, option), default_value);
}

std::filesystem::path Config::path(const std::string& key, Required, const std::string& meaning) {
  const Option option{key, "path", "", true, "", meaning};
  const toml::node* node = declare(*impl_, option);
  std::filesystem::path path = read_path(*impl_, option, node, "");
  if (node != nullptr && path.empty()) {
    refuse(*node, dotted(*impl_, key) + " is empty, but must name a file or a folder (" + meaning + ").");
  }
  return path;
}

std::vector<double> Config::numbers(const std::string& key, const std::vector<double>& default_value,
                                    Range range, const std::string& meaning) {
  const Option option{key, "numbers", list_of(default_value), false, described(range), meaning};
  return read_list(*impl_, option, default_value, "a list of numbers", range);
}

std::vector<std::int64_t> Config::integers(const std::string& key,
                                           const std::vector<std::int64_t>& default_value, Range range,
                                           const std::string& meaning) {
  const Option option{key, "integers", list_of(default_value), false, described(range), meaning};
  return read_list(*impl_, option, default_value, "a list of whole numbers", range);
}

std::vector<std::string> Config::texts(const std::string& key, const std::vector<std::string>& default_value,
                                       const std::string& meaning) {
  const Option option{key, "texts", list_of(default_value), false, "", meaning};
  return read_list(*impl_, option, default_value, "a list of texts", {});
}

Config Config::table(const std::string& key) {
  impl_->read.push_back(key);
  auto child = std::make_shared<Impl>();
  child->name = dotted(*impl_, key);
  if (impl_->table) {
    const toml::node* node = impl_->table->get(key);
    if (node == nullptr) {
      child->table = std::make_shared<toml::table>();
    } else if (node->is_table()) {
      child->table = std::shared_ptr<const toml::table>(impl_->table, node->as_table());
    } else {
      wrong_type(*impl_, key, *node, "a table", "a group of options");
    }
  }
  impl_->tables.emplace_back(key, child);
  return Config(child);
}

bool Config::has(const std::string& key) const { return impl_->table && impl_->table->contains(key); }

std::vector<std::string> Config::keys() const {
  std::vector<std::string> keys;
  if (!impl_->table) return keys;
  for (const auto& [key, node] : *impl_->table) keys.emplace_back(key.str());
  return keys;
}

bool Config::is_recording() const { return impl_->table == nullptr; }

void Config::fail(const std::string& key, const std::string& sentence) const {
  const toml::node* node = impl_->table ? impl_->table->get(key) : nullptr;
  if (node == nullptr) node = impl_->table.get();
  if (node == nullptr) throw Error(sentence, Fault::usage);
  refuse(*node, sentence);
}

void Config::finish() const {
  if (!impl_->table) return;
  for (const auto& [key, node] : *impl_->table) {
    const std::string name(key.str());
    if (std::ranges::find(impl_->read, name) != impl_->read.end()) continue;
    std::string position = where(key);
    if (position.empty()) position = where(node);
    throw Error((position.empty() ? "" : position + ": ") + "unknown key " + dotted(*impl_, name) +
                    (impl_->read.empty() ? "; there are no options here" : did_you_mean(name, impl_->read)),
                Fault::usage);
  }
  for (const auto& [key, child] : impl_->tables) Config(child).finish();
}

std::vector<Option> Config::options() const {
  std::vector<Option> all = impl_->options;
  for (const auto& [key, child] : impl_->tables) {
    for (Option option : Config(child).options()) {
      option.key.insert(0, key + ".");
      all.push_back(std::move(option));
    }
  }
  return all;
}

}  // namespace poise
