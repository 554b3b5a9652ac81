// poise plugins validate PATH: whether a plugin keeps what its kind promises. Every check runs this same executable in a
// child process, with the hidden options --check and --result.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "pipeline/document.h"
#include "pipeline/toml_text.h"
#include "plugins/validate.h"

namespace poise {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::filesystem::path path;
  ValidationRequest request;
  bool list = false;
  bool as_json = false;
  std::string check;
  std::filesystem::path result;
};

/// The settings as TOML.
std::string options_of(const std::vector<std::string>& settings) {
  toml::table table;
  for (const auto& setting : settings) merge(table, read_setting(setting));
  return toml_lines(table);
}

/// What is not UTF-8 is replaced, so that the output stays JSON.
void print_json(const Json& json) {
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

std::size_t longest_name(const std::vector<CheckDescription>& checks) {
  std::size_t longest = 0;
  for (const auto& check : checks) longest = std::max(longest, check.name.size());
  return longest;
}

void list(const std::vector<CheckDescription>& checks, bool as_json) {
  if (as_json) {
    Json json = Json::array();
    for (const auto& check : checks) json.push_back({{"name", check.name}, {"purpose", check.purpose}});
    return print_json(json);
  }
  for (const auto& check : checks) {
    std::cout << fmt::format("{:<{}}  {}\n", check.name, longest_name(checks), check.purpose);
  }
}

/// A line as soon as a check has ended, since some take their time.
void print(const CheckReport& report, std::size_t width) {
  const std::string line =
      fmt::format("{:<7}  {:<{}}  {}", name(report.outcome), report.check, width, escaped(report.sentence));
  std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << '\n' << std::flush;
}

std::map<CheckOutcome, int> counts_of(const std::vector<CheckReport>& reports) {
  std::map<CheckOutcome, int> counts;
  for (const auto& report : reports) ++counts[report.outcome];
  return counts;
}

/// "17 checks, seed 1: 15 passed, 2 skipped."
void print_counts(const std::vector<CheckReport>& reports, std::uint64_t seed) {
  std::string totals;
  for (const auto& [outcome, count] : counts_of(reports)) {
    totals += fmt::format("{}{} {}", totals.empty() ? "" : ", ", count, name(outcome));
  }
  std::cout << fmt::format("\n{} {}, seed {}: {}.\n", reports.size(),
                           reports.size() == 1 ? "check" : "checks", seed, totals);
}

Json to_json(const Entry& entry, const ValidationRequest& request, const std::vector<CheckReport>& reports) {
  Json json = {{"name", entry.manifest.name},
               {"kind", entry.manifest.kind},
               {"version", entry.manifest.version},
               {"library", entry.manifest.library().string()},
               {"seed", request.seed},
               {"timeout", request.timeout},
               {"checks", Json::array()},
               {"counts", Json::object()}};
  for (const auto& report : reports) {
    json["checks"].push_back(
        {{"name", report.check}, {"outcome", name(report.outcome)}, {"sentence", report.sentence}});
  }
  for (const auto& [outcome, count] : counts_of(reports)) json["counts"][name(outcome)] = count;
  return json;
}

/// The exit status: 0, 1 when a check failed or crashed, 130 when it was interrupted.
int validate_and_print(const Entry& entry, const Arguments& arguments) {
  const std::size_t width = longest_name(checks_for(entry.manifest.kind));
  std::vector<CheckReport> reports;
  const bool is_complete = validate(entry, arguments.request, [&](const CheckReport& report) {
    reports.push_back(report);
    if (!arguments.as_json) print(report, width);
  });
  if (!is_complete) return 130;
  if (arguments.as_json) {
    print_json(to_json(entry, arguments.request, reports));
  } else {
    print_counts(reports, arguments.request.seed);
  }
  const bool is_good = std::ranges::none_of(reports, [](const CheckReport& report) {
    return report.outcome == CheckOutcome::failed || report.outcome == CheckOutcome::crashed;
  });
  return is_good ? 0 : 1;
}

}  // namespace

void add_validate(CLI::App& plugins, int& status) {
  const auto arguments = std::make_shared<Arguments>();
  ValidationRequest& request = arguments->request;
  CLI::App* verb = plugins.add_subcommand(
      "validate", "Whether a plugin keeps what its kind promises; each check in a process of its own");
  verb->add_option("PATH", arguments->path, "Its folder with plugin.toml, or its library")->required();
  verb->add_flag("--list", arguments->list, "Names the checks and what each is for, and runs none");
  verb->add_option("--only", request.only, "NAME: run this check alone (may be repeated)")
      ->allow_extra_args(false);
  verb->add_option("--set", request.settings, "KEY=VALUE: an option of the plugin (may be repeated)")
      ->allow_extra_args(false);
  verb->add_option("--seed", request.seed, "Of every random number")->capture_default_str();
  verb->add_option("--timeout", request.timeout, "Seconds that a check may take")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  verb->add_flag("--json", arguments->as_json, "For programs");
  verb->add_option("--check", arguments->check)->group("");
  verb->add_option("--result", arguments->result)->group("");
  verb->callback([arguments, &plugins, &status] {
    arguments->as_json = arguments->as_json || plugins.count("--json") > 0;
    const Entry entry = plugin_at(arguments->path);
    const std::string options = options_of(arguments->request.settings);
    if (!arguments->check.empty()) {
      run_check(entry, arguments->check, options, arguments->request.seed, arguments->result);
    } else if (arguments->list) {
      list(checks_for(entry.manifest.kind), arguments->as_json);
    } else {
      status = validate_and_print(entry, *arguments);
    }
  });
}

}  // namespace poise
