#include "plugins/validate.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>

#include <fmt/format.h>
#include <boost/dll/runtime_symbol_info.hpp>
#include <nlohmann/json.hpp>

#include "plugins/child_process.h"
#include "plugins/loader.h"
#include "plugins/validate_library.h"
#include "poise/conformance.h"
#include "poise/error.h"
#include "poise/files.h"
#include "poise/suggest.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Cause = ChildEnd::Cause;

constexpr std::array<const char*, 5> outcome_names = {"passed", "skipped", "warning", "failed", "crashed"};

/// The check of what all the others leave on stdout.
const CheckDescription quiet = {"quiet", "nothing is written to stdout, which is for results"};

CheckOutcome outcome_of(testing::Outcome outcome) {
  switch (outcome) {
    case testing::Outcome::passed: return CheckOutcome::passed;
    case testing::Outcome::skipped: return CheckOutcome::skipped;
    case testing::Outcome::warning: return CheckOutcome::warning;
    case testing::Outcome::failed: return CheckOutcome::failed;
  }
  return CheckOutcome::failed;
}

CheckOutcome outcome_of(const std::string& text) {
  const auto found = std::ranges::find(outcome_names, text);
  return static_cast<CheckOutcome>(found - outcome_names.begin());
}

/// What a child process leaves.
struct Traces {
  fs::path result;
  fs::path out;
  fs::path err;
};

/// `count` bytes of the file from `offset` on, or fewer where it ends.
std::string part_of(const fs::path& file, std::uintmax_t offset, std::size_t count) {
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  std::string text(count, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(count));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

std::uintmax_t size_of(const fs::path& file) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  return error ? 0 : size;
}

/// The last line that says something, at most 200 bytes of it.
std::string last_line(const fs::path& file) {
  constexpr std::uintmax_t enough = 4096;
  const std::uintmax_t size = size_of(file);
  std::string text = part_of(file, size > enough ? size - enough : 0, enough);
  text.resize(text.find_last_not_of(" \r\n") + 1);
  return text.substr(text.rfind('\n') + 1, 200);
}

/// "Segmentation fault" begins small inside a sentence.
std::string signal_name(int number) {
  std::string text = ::strsignal(number);
  if (!text.empty()) text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
  return text;
}

std::string crash_sentence(const ChildEnd& end, int timeout, const fs::path& err) {
  std::string sentence;
  switch (end.cause) {
    case Cause::exited: sentence = fmt::format("ended the process with status {}", end.number); break;
    case Cause::signalled:
      sentence = fmt::format("ended by signal {} ({})", end.number, signal_name(end.number));
      break;
    case Cause::timed_out:
      sentence = fmt::format("still running after {} s, so it was killed", timeout);
      break;
    case Cause::interrupted: sentence = "interrupted"; break;
  }
  const std::string words = last_line(err);
  return sentence + (words.empty() ? "." : "; its last words: " + words);
}

/// Runs one check in a child process. Nothing: it was interrupted.
std::optional<CheckReport> run_in_child(const Entry& entry, const ValidationRequest& request,
                                        const std::string& check, const Traces& traces) {
  std::vector<std::string> arguments = {"plugins",
                                        "validate",
                                        entry.manifest.folder.string(),
                                        "--check",
                                        check,
                                        "--result",
                                        traces.result.string(),
                                        "--seed",
                                        std::to_string(request.seed)};
  for (const auto& setting : request.settings) arguments.insert(arguments.end(), {"--set", setting});
  const ChildEnd end = run_child(boost::dll::program_location().string(), arguments, traces.out, traces.err,
                                 std::chrono::seconds(request.timeout));
  if (end.cause == Cause::interrupted) return std::nullopt;
  // A crash after the check, while the process ends, is a crash all the same.
  if (end.cause != Cause::exited || end.number != 0 || !fs::exists(traces.result)) {
    return CheckReport{check, CheckOutcome::crashed, crash_sentence(end, request.timeout, traces.err)};
  }
  const Json result = Json::parse(read_file(traces.result));
  if (result.contains("refused")) throw Error(result.at("refused").get<std::string>(), Fault::plugin);
  return CheckReport{check, outcome_of(result.at("outcome").get<std::string>()),
                     result.at("sentence").get<std::string>()};
}

/// What the checks have left on stdout.
class Noise {
 public:
  void listen(const std::string& check, const fs::path& out) {
    if (size_of(out) == 0) return;
    if (checks_ == 0) {
      check_ = check;
      text_ = part_of(out, 0, 80);
      text_.resize(std::min(text_.find('\n'), text_.size()));
    }
    ++checks_;
  }
  [[nodiscard]] CheckReport report() const {
    if (checks_ == 0) return {quiet.name, CheckOutcome::passed, ""};
    std::string others;
    if (checks_ > 1) others = fmt::format(" and {} more", checks_ - 1);
    return {quiet.name, CheckOutcome::failed,
            "it wrote to stdout, which is for results, in " + check_ + others + ": \"" + text_ +
                "\"; write to stderr."};
  }

 private:
  std::size_t checks_ = 0;
  std::string check_;
  std::string text_;
};

void require_known(const std::vector<std::string>& only, const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& check : checks_for(kind)) names.push_back(check.name);
  for (const auto& wanted : only) {
    if (std::ranges::find(names, wanted) != names.end()) continue;
    const std::string hint = did_you_mean(wanted, names);
    throw Error("the kind " + kind + " has no check '" + escaped(wanted) + "'" + (hint.empty() ? "." : hint) +
                    " --list names them.",
                Fault::usage);
  }
}

testing::Finding finding_of(const Entry& entry, const std::string& check, const std::string& options,
                            std::uint64_t seed) {
  for (const auto& candidate : library_checks()) {
    if (candidate.name == check) return candidate.run(entry);
  }
  const testing::Subject subject{&open_plugin(entry), options, seed};
  for (const auto& candidate : testing::checks_of(entry.manifest.kind)) {
    if (candidate.name == check) return testing::run(candidate, subject);
  }
  throw Error("there is no check '" + check + "'.", Fault::usage);
}

}  // namespace

const char* name(CheckOutcome outcome) { return outcome_names.at(static_cast<std::size_t>(outcome)); }

Entry plugin_at(const fs::path& path) {
  fs::path place = fs::absolute(path).lexically_normal();
  if (place.filename().empty()) place = place.parent_path();  // "agm/"
  if (!fs::exists(place)) throw Error("there is no " + escaped(path.string()) + ".", Fault::usage);
  const bool is_folder = fs::is_directory(place);
  const fs::path folder = is_folder ? place : place.parent_path();
  if (!fs::exists(folder / "plugin.toml")) {
    throw Error(escaped(path.string()) + " is no plugin of Poise: there is no plugin.toml in " +
                    escaped(folder.string()) + ". poise_add_plugin() writes it.",
                Fault::usage);
  }
  const Catalog catalog(std::vector<SearchFolder>{{folder.parent_path(), "command line"}});
  const Entry& entry = catalog.find(folder.filename().string());
  if (!is_folder && place != entry.manifest.library()) {
    throw Error(escaped(path.string()) + " is not the library of the plugin in its folder, which is " +
                    escaped(entry.manifest.library().string()) + ".",
                Fault::usage);
  }
  return catalog.find(entry.manifest.kind, entry.manifest.name);  // or throws why it cannot be used
}

std::vector<CheckDescription> checks_for(const std::string& kind) {
  std::vector<CheckDescription> checks;
  for (const auto& check : library_checks()) checks.push_back({check.name, check.purpose});
  for (const auto& check : testing::checks_of(kind)) checks.push_back({check.name, check.purpose});
  checks.push_back(quiet);
  return checks;
}

bool validate(const Entry& entry, const ValidationRequest& request,
              const std::function<void(const CheckReport&)>& report) {
  require_known(request.only, entry.manifest.kind);
  const auto is_wanted = [&](const std::string& check) {
    return request.only.empty() || std::ranges::find(request.only, check) != request.only.end();
  };
  const testing::TemporaryFolder folder;
  Noise noise;
  for (const auto& [check, purpose] : checks_for(entry.manifest.kind)) {
    // What is said about stdout needs all the others.
    if (check == quiet.name || !(is_wanted(check) || is_wanted(quiet.name))) continue;
    const Traces traces = {folder.path() / (check + ".json"), folder.path() / (check + ".out"),
                           folder.path() / (check + ".err")};
    const std::optional<CheckReport> ended = run_in_child(entry, request, check, traces);
    if (!ended) return false;
    noise.listen(check, traces.out);
    if (is_wanted(check)) report(*ended);
    if (check == library_checks().front().name && ended->outcome == CheckOutcome::crashed) return true;
  }
  if (is_wanted(quiet.name)) report(noise.report());
  return true;
}

void run_check(const Entry& entry, const std::string& check, const std::string& options, std::uint64_t seed,
               const fs::path& result) {
  // A crash is a finding: it leaves no core file. A plugin that hangs does not outlive the process that would end it.
  const rlimit nothing{0, 0};
  ::setrlimit(RLIMIT_CORE, &nothing);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Json json;
  try {
    const testing::Finding finding = finding_of(entry, check, options, seed);
    json = {{"outcome", name(outcome_of(finding.outcome))}, {"sentence", finding.sentence}};
  } catch (const Error& error) {
    json = {{"refused", error.what()}};
  }
  // What is not UTF-8 is replaced.
  write_file(result, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace poise
