#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace poise {
namespace {

const std::string none = "-";

std::string percent(const Spread& spread) {
  if (spread.count == 0) return none;
  if (spread.count == 1) return fmt::format("{:.1f}", 100 * spread.mean);
  return fmt::format("{:.1f} ± {:.1f}", 100 * spread.mean, 100 * spread.deviation);
}

std::string signed_percent(const std::optional<Spread>& spread) {
  if (!spread) return none;
  return (spread->mean < 0 ? "" : "+") + percent(*spread);
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

std::string passes(const MethodSummary& method) {
  return fmt::format("{:.3g}/{:.3g}/{:.3g}", mean_over_runs(method, mean_encoder_passes),
                     mean_over_runs(method, [](const Cost& cost) { return cost.fusion_passes; }),
                     mean_over_runs(method, [](const Cost& cost) { return cost.backward_passes; }));
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

void print_hashes(const Summary& summary, std::ostream& out) {
  std::size_t width = 0;
  for (const MethodSummary& method : summary.methods) width = std::max(width, length(method.group));
  out << "Runs, seed:hash\n";
  for (const MethodSummary& method : summary.methods) {
    out << "  " << printable(method.group) << padding(method.group, width);
    for (const RunResult& run : method.runs)
      out << "  " << run.seed << ':' << printable(run.hash.substr(0, 8));
    out << '\n';
  }
}

}  // namespace

Table make_table(const Summary& summary) {
  Table table;
  std::string metric = summary.metric;
  std::replace(metric.begin(), metric.end(), '_', ' ');
  table.columns = {"method", "seeds", metric};
  table.columns.insert(table.columns.end(), summary.modalities.begin(), summary.modalities.end());
  table.columns.insert(table.columns.end(), {"gap", "to joint", "passes", "seconds"});

  for (const MethodSummary& method : summary.methods) {
    std::vector<std::string> row{method.group, std::to_string(method.runs.size()), percent(method.score)};
    for (const std::string& modality : summary.modalities) {
      const auto found = method.modality_score.find(modality);
      row.push_back(found == method.modality_score.end() ? none : percent(found->second));
    }
    row.push_back(largest_gap(method));
    row.push_back(signed_percent(method.to_joint));
    row.push_back(passes(method));
    row.push_back(
        fmt::format("{:.1f}", mean_over_runs(method, [](const Cost& c) { return c.total_seconds; })));
    table.rows.push_back(std::move(row));
  }

  if (!summary.best.is_null()) {
    std::vector<std::string> row{"best possible", none,
                                 fmt::format("{:.1f}", 100 * summary.best["score"].get<double>())};
    for (const std::string& modality : summary.modalities) {
      const auto& scores = summary.best["modality_score"];
      row.push_back(scores.contains(modality) ? fmt::format("{:.1f}", 100 * scores[modality].get<double>())
                                              : none);
    }
    row.resize(table.columns.size(), none);
    table.rows.push_back(std::move(row));
  }

  table.legend = {
      metric +
          ": test split, %, mean ± standard deviation over seeds; of a modality: only it is shown to the "
          "model.",
      "gap: of the modality that stays farthest behind its own training alone, in points.",
      "to joint: points gained on joint training, paired by seed.",
      "passes: encoders/fusion/backward in a training step. seconds: of a whole run."};
  return table;
}

void print_text(const Summary& summary, std::ostream& out) {
  const Table table = make_table(summary);
  out << printable(summary.headline) << "\n\n";
  print_table(table, out);
  out << '\n';
  for (const std::string& line : table.legend) out << printable(line) << '\n';
  out << '\n';
  print_hashes(summary, out);
  for (const std::string& note : summary.notes) out << "Note: " << printable(note) << '\n';
}

}  // namespace poise
