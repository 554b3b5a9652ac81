#pragma once

#include <string>
#include <vector>

namespace poise {

/// The candidates that `word` may be a misspelling of, nearest first: at most three, none farther than a third
/// of its letters (at least 1).
std::vector<std::string> near_names(const std::string& word, const std::vector<std::string>& candidates);

/// "; did you mean 'alpha'?" or "".
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace poise
