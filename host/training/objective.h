#pragma once

#include <memory>

#include "poise/objective.h"

namespace poise {

/// Cross-entropy, probability of the true class, arg-max.
std::unique_ptr<Objective> classification_objective();

}  // namespace poise
