#pragma once

#include <nlohmann/json.hpp>

#include "report/summary.h"

namespace poise {

/// The summary as one object, without the epochs of the runs. Accuracies are fractions of 1; what is not
/// known (a deviation over one seed) is null.
nlohmann::json to_json(const Summary& summary);

}  // namespace poise
