#include "analysis/report.h"

#include <algorithm>
#include <ostream>

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
  summary.methods = compare(std::move(results.runs));
  // Runs of all modalities come first, so that their order counts.
  for (const MethodSummary& method : summary.methods) {
    for (const std::string& modality : method.runs.front().modalities) {
      auto& known = summary.modalities;
      if (std::find(known.begin(), known.end(), modality) == known.end()) known.push_back(modality);
    }
  }
  summary.best = common_best(summary.methods);
  summary.headline = starvation(summary.methods, summary.modalities);
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
