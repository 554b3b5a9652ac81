#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace poise {

enum class TaskKind {
  classification,  ///< one of `outputs` classes; targets [B] int64
  multi_label,     ///< each of `outputs` labels or not; targets [B, C] float32, 0 or 1
  regression,  ///< `outputs` numbers; targets [B, C] float32, standardised by the dataset on its train split
};

/// What is predicted.
struct Task {
  TaskKind kind = TaskKind::classification;
  std::int64_t outputs = 0;         ///< C
  std::vector<std::string> labels;  ///< one name per output, for reports; may be empty
};

}  // namespace poise
