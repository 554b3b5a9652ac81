// poise plugins list: what is installed and whether it can be used here, from the manifests alone.
// poise plugins info NAME: all about one plugin; its options come from the plugin itself, so its library is
// opened.
// poise plugins docs: the reference, a page a plugin, in the same way.
// poise plugins validate PATH: see validate.cpp.
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "plugins/details.h"
#include "plugins/reference.h"
#include "poise/error.h"

namespace poise {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

/// In characters, not bytes.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

/// Left-aligned columns, two spaces apart, nothing behind the last.
void print_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(widths[i] + 2 - width(row[i]), ' ');
    std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
  }
}

/// What is not UTF-8 is replaced, so that the output stays JSON.
void print_json(const Json& json) {
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

Json to_json(const Entry& entry) {
  const Manifest& manifest = entry.manifest;
  return {{"name", manifest.name},       {"kind", manifest.kind},
          {"version", manifest.version}, {"state", name(entry.state)},
          {"reasons", entry.reasons},    {"origin", entry.origin},
          {"summary", manifest.summary}, {"folder", manifest.folder.string()}};
}

void list(const Catalog& catalog, bool as_json) {
  if (as_json) {
    Json plugins = Json::array();
    for (const auto& entry : catalog.entries()) plugins.push_back(to_json(entry));
    return print_json(plugins);
  }
  std::vector<Row> rows = {{"NAME", "KIND", "VERSION", "STATE", "ORIGIN", "SUMMARY"}};
  std::map<PluginState, int> counts;
  for (const auto& entry : catalog.entries()) {
    const Manifest& manifest = entry.manifest;
    rows.push_back({escaped(manifest.name), escaped(manifest.kind), escaped(manifest.version),
                    name(entry.state), entry.origin, escaped(manifest.summary)});
    ++counts[entry.state];
  }
  print_table(rows);
  std::string totals;
  for (const auto& [state, count] : counts) {
    totals += (totals.empty() ? ": " : ", ") + std::to_string(count) + " " + name(state);
  }
  const auto total = catalog.entries().size();
  std::cout << '\n' << total << (total == 1 ? " plugin" : " plugins") << totals << ".\n";
}

Json to_json(const Details& details) {
  Json json = to_json(details.entry);
  json["license"] = details.entry.manifest.license;
  json["interface"] = details.entry.manifest.interface;
  json["built_with"] = Json::object();
  for (const auto& [field, value] : details.entry.manifest.built_with) json["built_with"][field] = value;
  json["host"] = Json::object();
  for (const auto& [field, value] : host_identity()) json["host"][field] = value;
  json["library"] = details.library;
  json["sha256"] = details.sha256;
  json["options"] = Json::array();
  for (const auto& option : details.options) {
    json["options"].push_back({{"key", option.key},
                               {"type", option.type},
                               {"required", option.is_required},
                               {"default", option.default_value},
                               {"range", option.range},
                               {"meaning", option.meaning}});
  }
  return json;
}

/// The fields of the plugin beside the host's; those of the host first, then what only the plugin has.
std::vector<Row> built_with(const Manifest& manifest) {
  std::vector<Row> rows = {{"BUILT WITH", "PLUGIN", "THIS HOST"}};
  for (const auto& [field, value] : host_identity()) {
    const std::string* built = value_of(manifest.built_with, field);
    rows.push_back({field, built != nullptr ? escaped(*built) : "missing", value});
  }
  for (const auto& [field, value] : manifest.built_with) {
    if (value_of(host_identity(), field) == nullptr)
      rows.push_back({escaped(field), escaped(value), "unknown"});
  }
  return rows;
}

void print(const Details& details) {
  const Manifest& manifest = details.entry.manifest;
  std::vector<Row> rows = {{"name", escaped(manifest.name)},
                           {"kind", escaped(manifest.kind)},
                           {"version", escaped(manifest.version)},
                           {"summary", escaped(manifest.summary)},
                           {"state", name(details.entry.state)}};
  for (const auto& reason : details.entry.reasons) rows.push_back({"", escaped(reason)});
  rows.insert(rows.end(), {{"origin", details.entry.origin},
                           {"license", escaped(manifest.license)},
                           {"interface", escaped(manifest.interface)},
                           {"library", escaped(details.library)},
                           {"sha256", details.sha256}});
  print_table(rows);
  std::cout << '\n';
  print_table(built_with(manifest));
  if (details.entry.state != PluginState::ok) return;
  std::cout << '\n';
  if (details.options.empty()) std::cout << "It has no options.\n";
  if (details.options.empty()) return;
  rows = {{"OPTION", "TYPE", "DEFAULT", "RANGE", "MEANING"}};
  for (const auto& option : details.options) {
    rows.push_back({option.key, option.type, option.is_required ? "required" : option.default_value,
                    option.range, option.meaning});
  }
  print_table(rows);
}

void write_docs(const Catalog& catalog, const std::filesystem::path& output) {
  std::vector<Details> plugins;
  for (const auto& entry : catalog.entries()) plugins.push_back(examine(entry));
  write_reference(plugins, output);
  const auto pages = std::ranges::count_if(
      plugins, [](const Details& details) { return details.entry.state == PluginState::ok; });
  std::cout << "Wrote " << (output / "index.md").string() << " and beside it the pages of " << pages
            << (pages == 1 ? " plugin" : " plugins") << ".\n";
  const auto others = static_cast<std::ptrdiff_t>(plugins.size()) - pages;
  if (others > 0) std::cout << "It names " << others << " that cannot be used here, and why.\n";
}

}  // namespace

void add_plugins(CLI::App& app, int& status) {
  struct Arguments {
    std::vector<std::filesystem::path> folders;
    std::string name;
    std::filesystem::path output = "docs/plugins";
    bool as_json = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* plugins = app.add_subcommand("plugins", "What is installed, and whether it can be used here");
  plugins->callback([plugins] {
    if (plugins->get_subcommands().empty())
      throw Error("say 'plugins list', 'plugins info NAME', 'plugins docs' or 'plugins validate PATH'.",
                  Fault::usage);
  });
  plugins->add_option("--plugin-dir", arguments->folders, "Search this folder first (may be repeated)")
      ->check(CLI::ExistingDirectory)
      ->allow_extra_args(false);
  plugins->add_flag("--json", arguments->as_json, "For programs");

  CLI::App* list_verb = plugins->add_subcommand("list", "All plugins, without opening one")->fallthrough();
  list_verb->callback([arguments] { list(Catalog(search_folders(arguments->folders)), arguments->as_json); });

  CLI::App* info_verb = plugins->add_subcommand("info", "One plugin: what it is, its options")->fallthrough();
  info_verb->add_option("NAME", arguments->name, "Its name")->required();
  info_verb->callback([arguments, &status] {
    const Catalog catalog(search_folders(arguments->folders));
    const Details details = examine(catalog.find(arguments->name));
    if (arguments->as_json) {
      print_json(to_json(details));
    } else {
      print(details);
    }
    if (details.entry.state != PluginState::ok) status = 3;
  });

  CLI::App* docs_verb =
      plugins->add_subcommand("docs", "Writes the reference in Markdown, a page a plugin")->fallthrough();
  docs_verb->add_option("--output", arguments->output, "Folder of the pages")->capture_default_str();
  docs_verb->callback(
      [arguments] { write_docs(Catalog(search_folders(arguments->folders)), arguments->output); });

  add_validate(*plugins, status);
}

}  // namespace poise
