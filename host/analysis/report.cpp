#include "analysis/report.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "analysis/comparison.h"
#include "analysis/results.h"
#include "analysis/starvation.h"
#include "poise/error.h"
#include "poise/files.h"
#include "report/html.h"
#include "report/json.h"
#include "report/table.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

nlohmann::json common_best(const std::vector<MethodSummary>& methods) {
  nlohmann::json common;
  for (const MethodSummary& method : methods) {
    for (const RunResult& run : method.runs) {
      if (!run.alone.empty()) continue;
      if (common.is_null()) common = run.best;
      if (common != run.best) return nullptr;
    }
  }
  return common;
}

/// Runs of all modalities come first, so that their order counts.
std::vector<std::string> modalities_of(const std::vector<MethodSummary>& methods) {
  std::vector<std::string> known;
  for (const bool alone : {false, true}) {
    for (const MethodSummary& method : methods) {
      if (method.alone.empty() == alone) continue;
      for (const std::string& modality : method.runs.front().modalities) {
        if (std::find(known.begin(), known.end(), modality) == known.end()) known.push_back(modality);
      }
    }
  }
  return known;
}

/// Methods of one condition stand side by side.
std::vector<ConditionSummary> by_condition(std::vector<MethodSummary> methods,
                                           const std::vector<std::string>& modalities) {
  std::vector<ConditionSummary> conditions;
  for (MethodSummary& method : methods) {
    if (conditions.empty() || conditions.back().name != method.condition) {
      conditions.emplace_back().name = method.condition;
    }
    conditions.back().methods.push_back(std::move(method));
  }
  for (ConditionSummary& condition : conditions) {
    condition.best = common_best(condition.methods);
    condition.headline = starvation(condition.methods, modalities);
  }
  return conditions;
}

Summary summarize(const fs::path& folder) {
  Results results = read_results(folder);
  if (results.runs.empty()) {
    std::string sentence = "there is no finished run in " + folder.string();
    for (const std::string& note : results.notes) sentence += "\n  " + note;
    throw Error(sentence, Fault::usage);
  }
  Summary summary;
  summary.title = results.runs.front().title;
  summary.metric = results.runs.front().metric;
  summary.notes = std::move(results.notes);
  std::vector<MethodSummary> methods = compare(std::move(results.runs));
  summary.modalities = modalities_of(methods);
  summary.conditions = by_condition(std::move(methods), summary.modalities);
  return summary;
}

}  // namespace

void report_folder(const fs::path& folder, std::ostream& out) {
  const Summary summary = summarize(folder);
  print_text(summary, out);
  const fs::path page = folder / "report.html";
  write_file(page, html_page(summary));
  out << "\nCurves and coefficients: " << page.string() << '\n';
}

void report_folder_as_json(const fs::path& folder, std::ostream& out) {
  out << to_json(summarize(folder)).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

}  // namespace poise
