#include "poise/conformance.h"

#include <algorithm>
#include <exception>
#include <map>
#include <set>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "checks.h"

namespace poise::conformance {
namespace {

/// "alpha" of "alpha = 1"; empty where a line sets nothing.
std::string key_of(const std::string& line) {
  const auto equals = line.find('=');
  if (equals == std::string::npos) return "";
  const auto first = line.find_first_not_of(" \t");
  const auto last = line.find_last_not_of(" \t", equals - 1);
  return last == std::string::npos || last < first ? "" : line.substr(first, last - first + 1);
}

std::vector<std::string> lines_of(const std::string& options) {
  std::vector<std::string> lines;
  std::istringstream stream(options);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

std::string merged(const std::string& options, const std::string& more) {
  std::set<std::string> replaced;
  for (const auto& line : lines_of(more)) replaced.insert(key_of(line));
  std::string result;
  for (const auto& line : lines_of(options)) {
    const auto key = key_of(line);
    if (key.empty() || !replaced.contains(key)) result += line + "\n";
  }
  return result + more;
}

bool Findings::add(const std::string& label, Finding finding) {
  const auto rank = [](Outcome outcome) {
    switch (outcome) {
      case Outcome::skipped: return 0;
      case Outcome::passed: return 1;
      case Outcome::warning: return 2;
      case Outcome::failed: break;
    }
    return 3;
  };
  if (!finding.sentence.empty()) finding.sentence = label + ": " + finding.sentence;
  const bool is_first = overall_.outcome == Outcome::skipped && finding.outcome == Outcome::skipped;
  if (is_first || rank(finding.outcome) > rank(overall_.outcome)) overall_ = std::move(finding);
  return overall_.outcome == Outcome::failed;
}

}  // namespace poise::conformance

namespace poise::testing {

const std::vector<Check>& checks_of(const std::string& kind) {
  namespace suite = poise::conformance;
  static const auto lists = [] {
    std::map<std::string, std::vector<Check>> all;
    const auto add = [&](const std::string& to, const std::vector<Check>& checks) {
      all[to].insert(all[to].end(), checks.begin(), checks.end());
    };
    for (const char* each : {"dataset", "encoder", "fusion", "modulation"}) add(each, suite::any_checks());
    add("dataset", suite::dataset_checks());
    add("dataset", suite::dataset_sample_checks());
    add("encoder", suite::encoder_checks());
    add("fusion", suite::fusion_checks());
    add("modulation", suite::modulation_declaration_checks());
    add("modulation", suite::modulation_checks());
    add("modulation", suite::modulation_state_checks());
    return all;
  }();
  static const std::vector<Check> none;
  const auto found = lists.find(kind);
  return found == lists.end() ? none : found->second;
}

Finding run(const Check& check, const Subject& subject) {
  // What one check finds changed must not fail the next.
  const auto threads = at::get_num_threads();
  const auto dtype = c10::get_default_dtype();
  torch::manual_seed(subject.seed);
  Finding finding;
  try {
    finding = check.run(subject);
  } catch (const std::exception& error) {
    // LibTorch's texts go on with a stack trace.
    const std::string what = error.what();
    finding = {Outcome::failed, what.substr(0, what.find('\n'))};
  } catch (...) {
    finding = {Outcome::failed, "it throws something that is no std::exception"};
  }
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
  if (c10::get_default_dtype() != dtype) c10::set_default_dtype(dtype);
  return finding;
}

}  // namespace poise::testing
