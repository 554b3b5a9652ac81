#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace poise {

/// What is predicted: one of `outputs` classes per sample.
struct Task {
  std::int64_t outputs = 0;
  std::vector<std::string> labels;  ///< one name per class, for reports
};

}  // namespace poise
