#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace poise {

/// Inclusive bounds of a number.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

/// Stands in the place of a default: the key must be given. (Made of a number, so that {} is none.)
struct Required {
  explicit constexpr Required(int /*unused*/) {}
};
inline constexpr Required required{0};

/// One option as its reader declared it: the source of `poise plugins info` and of the reference page.
struct Option {
  std::string key;
  std::string type;  ///< "number", "integer", "boolean", "text", "path", "numbers", "integers", "texts"
  std::string default_value;  ///< as TOML; empty when required
  bool is_required = false;
  std::string range;  ///< human-readable, "" when anything goes
  std::string meaning;
};

/// The options of one table of a pipeline. A plugin's constructor reads its options here, and that is their
/// only declaration. Each reader returns the value given or the default, and throws Error (usage) with file,
/// line and column when the value has another type or is out of range. A Config of `recording()` is empty and
/// returns defaults (for a required option a placeholder inside its range).
/// Not thread-safe. A plugin must not keep a reference after its constructor.
class Config {
 public:
  struct Impl;

  explicit Config(std::shared_ptr<Impl> impl);
  ~Config();
  static Config recording();
  /// The table that `text` is. `source` stands for the file's name in messages; relative paths are meant
  /// relative to its folder.
  static Config parse(const std::string& text, const std::filesystem::path& source = "inline.toml");

  double number(const std::string& key, double default_value, Range range, const std::string& meaning);
  double number(const std::string& key, Required, Range range, const std::string& meaning);
  std::int64_t integer(const std::string& key, std::int64_t default_value, Range range,
                       const std::string& meaning);
  bool boolean(const std::string& key, bool default_value, const std::string& meaning);
  std::string text(const std::string& key, const std::string& default_value, const std::string& meaning);
  std::string text(const std::string& key, Required, const std::string& meaning);
  /// One of `choices`; the message of a wrong one lists them.
  std::string choice(const std::string& key, const std::string& default_value,
                     const std::vector<std::string>& choices, const std::string& meaning);
  /// A path; a relative one is meant relative to the folder of the file that names it. An empty default stays
  /// empty.
  std::filesystem::path path(const std::string& key, const std::filesystem::path& default_value,
                             const std::string& meaning);
  std::filesystem::path path(const std::string& key, Required, const std::string& meaning);
  std::vector<double> numbers(const std::string& key, const std::vector<double>& default_value, Range range,
                              const std::string& meaning);
  std::vector<std::int64_t> integers(const std::string& key, const std::vector<std::int64_t>& default_value,
                                     Range range, const std::string& meaning);
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& default_value,
                                 const std::string& meaning);

  /// The sub-table `key`, empty when it is not given. Its unread keys are checked by this Config's finish().
  Config table(const std::string& key);
  [[nodiscard]] bool has(const std::string& key) const;
  /// The keys that are given, in alphabetical order (a table of TOML has no other): for a table whose keys
  /// are names that the user chose.
  [[nodiscard]] std::vector<std::string> keys() const;
  /// True when nothing is given and only declarations are collected.
  [[nodiscard]] bool is_recording() const;

  /// Throws Error (usage): `sentence` about the value of `key`, with its file, line and column.
  [[noreturn]] void fail(const std::string& key, const std::string& sentence) const;
  /// Throws Error (usage) for the first key that nobody read, naming the nearest key that was.
  void finish() const;
  /// What has been read so far, in order, then what the tables have read ("table.key").
  [[nodiscard]] std::vector<Option> options() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace poise
