// poise new KIND NAME: a project with a plugin of one's own, and the commands that build, test and run it.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/verbs.h"
#include "plugins/catalog.h"
#include "plugins/new_project.h"

namespace poise {
namespace {

/// `text` as one word of a shell.
std::string quoted(const std::string& text) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./,:@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

/// Lines that a shell can run are indented, and nothing else is.
void print_next_steps(const std::string& kind, const std::string& name) {
  const std::filesystem::path prefix = installation();
  const bool is_installed = std::filesystem::exists(prefix / "lib/cmake/poise/poiseConfig.cmake");
  const std::string poise = quoted((prefix / "bin/poise").string());
  std::cout << fmt::format("Made the {0} {1} in the folder {1}.\n", kind, name);
  if (!is_installed) {
    std::cout << fmt::format(
        "This poise is not installed, and a plugin is built with one that is. So first, with a folder as "
        "DIR:\n"
        "'cmake --install {} --prefix DIR'.\n",
        quoted(prefix.string()));
  }
  std::cout << fmt::format(
      "To build, test, validate and run it:\n"
      "\n"
      "  cd {0}\n"
      "  cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH={1}\n"
      "  cmake --build build\n"
      "  ctest --test-dir build --output-on-failure\n"
      "  {2} plugins validate build/lib/poise/plugins/{0}\n"
      "  {2} run pipeline.toml\n",
      name, is_installed ? quoted(prefix.string()) : "DIR", poise);
}

}  // namespace

void add_new(CLI::App& app, int& /*status*/) {
  struct Arguments {
    std::string kind;
    std::string name;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("new", "Makes a project with a plugin of your own");
  verb->add_option("KIND", arguments->kind, "dataset, encoder, fusion or modulation")
      ->required()
      ->check(CLI::IsMember({"dataset", "encoder", "fusion", "modulation"}));
  verb->add_option("NAME", arguments->name, "Of the plugin, and of the folder that is made for it here")
      ->required();
  verb->callback([arguments] {
    make_project(arguments->kind, arguments->name, ".");
    print_next_steps(arguments->kind, arguments->name);
  });
}

}  // namespace poise
