#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace poise {
namespace {

const std::string none = "-";

std::string percent(double value) { return fmt::format("{:.1f}", 100 * value); }

std::string percent(const Spread& spread) {
  if (spread.count == 0) return none;
  if (spread.count == 1) return percent(spread.mean);
  return percent(spread.mean) + " ± " + percent(spread.half_width);
}

/// "+1.2 ± 0.4", or "+0.2 ± 0.4 n.s." where it cannot be told from 0.
std::string gain_text(const std::optional<Gain>& gain) {
  if (!gain) return none;
  return (gain->difference.mean < 0 ? "" : "+") + percent(gain->difference) +
         (gain->is_significant() ? "" : " n.s.");
}

std::string p_text(const std::optional<Gain>& gain) {
  if (!gain || std::isnan(gain->adjusted_p)) return none;
  return gain->adjusted_p < 0.001 ? "<0.001" : fmt::format("{:.3f}", gain->adjusted_p);
}

std::string detectable_text(const std::optional<Gain>& gain) {
  return !gain || std::isnan(gain->detectable) ? none : percent(gain->detectable);
}

std::string largest_gap(const MethodSummary& method) {
  const auto found = std::max_element(
      method.gaps.begin(), method.gaps.end(),
      [](const auto& a, const auto& b) { return a.second.difference.mean < b.second.difference.mean; });
  if (found == method.gaps.end()) return none;
  return fmt::format("{:.1f} {}", 100 * found->second.difference.mean, found->first);
}

template <class Quantity>
double mean_over_runs(const MethodSummary& method, Quantity quantity) {
  double sum = 0;
  for (const RunResult& run : method.runs) sum += quantity(run.cost);
  return sum / static_cast<double>(method.runs.size());
}

double mean_encoder_passes(const Cost& cost) {
  double sum = 0;
  for (const auto& [modality, passes] : cost.encoder_passes) sum += passes;
  return cost.encoder_passes.empty() ? 0 : sum / static_cast<double>(cost.encoder_passes.size());
}

/// "1/3/1", or "1/3/1 +2.5" with passes over the training data beside the steps.
std::string passes(const MethodSummary& method) {
  const double extra = mean_over_runs(method, [](const Cost& cost) { return cost.extra_passes; });
  return fmt::format("{:.3g}/{:.3g}/{:.3g}", mean_over_runs(method, mean_encoder_passes),
                     mean_over_runs(method, [](const Cost& cost) { return cost.fusion_passes; }),
                     mean_over_runs(method, [](const Cost& cost) { return cost.backward_passes; })) +
         (extra > 0 ? fmt::format(" +{:.2g}", extra) : "");
}

std::string printable(std::string text) {
  for (char& character : text) {
    const auto code = static_cast<unsigned char>(character);
    if (code < 0x20 || code == 0x7f) character = '?';
  }
  return text;
}

/// Characters of UTF-8: all bytes but those that continue one.
std::size_t length(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string padding(const std::string& text, std::size_t width) {
  return std::string(width - length(text), ' ');
}

void print_table(const Table& table, std::ostream& out) {
  std::vector<std::size_t> widths;
  std::size_t total = 0;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    widths.push_back(length(table.columns[c]));
    for (const auto& row : table.rows) widths[c] = std::max(widths[c], length(row[c]));
    total += widths[c] + (c == 0 ? 0 : 2);
  }
  const auto print_row = [&](const std::vector<std::string>& cells) {
    out << printable(cells[0]) << padding(cells[0], widths[0]);
    for (std::size_t c = 1; c < cells.size(); ++c) {
      out << "  " << padding(cells[c], widths[c]) << printable(cells[c]);
    }
    out << '\n';
  };
  print_row(table.columns);
  out << std::string(total, '-') << '\n';
  for (const auto& row : table.rows) print_row(row);
}

std::vector<const MethodSummary*> all_methods(const Summary& summary) {
  std::vector<const MethodSummary*> methods;
  for (const ConditionSummary& condition : summary.conditions) {
    for (const MethodSummary& method : condition.methods) methods.push_back(&method);
  }
  return methods;
}

void print_hashes(const Summary& summary, std::ostream& out) {
  std::size_t width = 0;
  for (const MethodSummary* method : all_methods(summary)) width = std::max(width, length(method->group));
  out << "Runs, seed:hash\n";
  for (const MethodSummary* method : all_methods(summary)) {
    out << "  " << printable(method->group) << padding(method->group, width);
    for (const RunResult& run : method->runs) {
      out << "  " << run.seed << ':' << printable(run.hash.substr(0, 8));
    }
    out << '\n';
  }
}

/// Whether a method comes with several settings, of which the validation split selects one.
bool is_selection(const Summary& summary) {
  const auto methods = all_methods(summary);
  return std::any_of(methods.begin(), methods.end(),
                     [](const MethodSummary* method) { return method->is_selected; });
}

std::string metric_name(const Summary& summary) {
  std::string metric = summary.metric;
  std::replace(metric.begin(), metric.end(), '_', ' ');
  return metric;
}

/// What any model can reach at best on the data.
std::vector<std::string> best_row(const Summary& summary, const nlohmann::json& best, std::size_t columns) {
  std::vector<std::string> row{"best possible", none};
  if (is_selection(summary)) row.push_back(none);
  row.push_back(percent(best["score"].get<double>()));
  for (const std::string& modality : summary.modalities) {
    const auto& scores = best["modality_score"];
    row.push_back(scores.contains(modality) ? percent(scores[modality].get<double>()) : none);
  }
  row.resize(columns, none);
  return row;
}

}  // namespace

Table make_table(const Summary& summary, const ConditionSummary& condition) {
  const bool selection = is_selection(summary);
  Table table;
  table.columns = {"method", "seeds"};
  if (selection) table.columns.emplace_back("validation");
  table.columns.push_back(metric_name(summary));
  table.columns.insert(table.columns.end(), summary.modalities.begin(), summary.modalities.end());
  table.columns.insert(table.columns.end(), {"gap", "to joint", "p", "detectable", "passes", "seconds"});

  for (const MethodSummary& method : condition.methods) {
    std::vector<std::string> row{method.name + (method.is_selected ? " *" : ""),
                                 std::to_string(method.runs.size())};
    if (selection) row.push_back(percent(method.validation));
    row.push_back(percent(method.score));
    for (const std::string& modality : summary.modalities) {
      const auto found = method.modality_score.find(modality);
      row.push_back(found == method.modality_score.end() ? none : percent(found->second));
    }
    row.push_back(largest_gap(method));
    row.push_back(gain_text(method.to_joint));
    row.push_back(p_text(method.to_joint));
    row.push_back(detectable_text(method.to_joint));
    row.push_back(passes(method));
    row.push_back(
        fmt::format("{:.1f}", mean_over_runs(method, [](const Cost& c) { return c.total_seconds; })));
    table.rows.push_back(std::move(row));
  }
  if (!condition.best.is_null()) {
    table.rows.push_back(best_row(summary, condition.best, table.columns.size()));
  }
  return table;
}

std::vector<std::string> legend(const Summary& summary) {
  std::vector<std::string> lines;
  lines.push_back(
      metric_name(summary) +
      ": test split, %, mean ± half of the 95 % confidence interval over seeds (Student's t); of a "
      "modality: only it is shown to the model.");
  lines.emplace_back("gap: of the modality that stays farthest behind its own training alone, in points.");
  lines.emplace_back(
      "to joint: points gained on joint training, paired by seed; n.s.: cannot be told from 0, p is above "
      "0.05.");
  lines.emplace_back("p: two-sided paired t-test, corrected for all comparisons of this report (Holm).");
  lines.emplace_back(
      "detectable: the smallest gain that this test alone finds, at the 5 % level with a power of 80 %, by "
      "(t(0.975) + t(0.8)) s / sqrt(n).");
  lines.emplace_back(
      "passes: encoders/fusion/backward in a training step, + passes over the training data beside the "
      "steps, an epoch. seconds: of a whole run, without its teachers.");
  if (is_selection(summary)) {
    lines.emplace_back("*: of a method's settings the one with the best mean " + metric_name(summary) +
                       " of the validation split.");
  }
  return lines;
}

void print_text(const Summary& summary, std::ostream& out) {
  for (const ConditionSummary& condition : summary.conditions) {
    if (!condition.name.empty()) out << printable(condition.name) << ": ";
    out << printable(condition.headline) << "\n\n";
    print_table(make_table(summary, condition), out);
    out << '\n';
  }
  for (const std::string& line : legend(summary)) out << printable(line) << '\n';
  out << '\n';
  print_hashes(summary, out);
  for (const std::string& note : summary.notes) out << "Note: " << printable(note) << '\n';
}

}  // namespace poise
