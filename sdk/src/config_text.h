#pragma once

// How values, lists and ranges are written in messages and in what a plugin declares.

#include <charconv>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "poise/config.h"

namespace poise {

/// A number as a person writes it: as few digits as give the value back.
inline std::string written(double value) {
  char text[32];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  return {std::begin(text), end};
}

inline std::string quoted(const std::string& text) { return "\"" + text + "\""; }

inline std::string described(const Range& range) {
  const bool low = std::isfinite(range.min);
  const bool high = std::isfinite(range.max);
  if (low && high) return "from " + written(range.min) + " to " + written(range.max);
  if (low) return "at least " + written(range.min);
  if (high) return "at most " + written(range.max);
  return "";
}

template <class T>
std::string list_of(const std::vector<T>& values) {
  std::string text = "[";
  for (const auto& value : values) {
    if (text.size() > 1) text += ", ";
    if constexpr (std::is_same_v<T, std::string>) {
      text += quoted(value);
    } else if constexpr (std::is_same_v<T, double>) {
      text += written(value);
    } else {
      text += std::to_string(value);
    }
  }
  return text + "]";
}

}  // namespace poise
