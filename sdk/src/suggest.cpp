#include "poise/suggest.h"

#include <algorithm>
#include <numeric>

namespace poise {
namespace {

/// Levenshtein's distance, by rows.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> near_names(const std::string& word, const std::vector<std::string>& candidates) {
  const std::size_t limit = std::max<std::size_t>(1, word.size() / 3);
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const auto& candidate : candidates) {
    if (const auto d = distance(word, candidate); d <= limit) near.emplace_back(d, candidate);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> names;
  for (const auto& [d, candidate] : near) {
    if (names.size() < 3) names.push_back(candidate);
  }
  return names;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  std::string text;
  for (const auto& candidate : near_names(word, candidates)) {
    text += (text.empty() ? "; did you mean '" : " or '") + candidate + "'";
  }
  return text.empty() ? text : text + "?";
}

}  // namespace poise
