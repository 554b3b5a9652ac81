#pragma once

#include <memory>

#include "poise/objective.h"
#include "poise/task.h"

namespace poise {

/// What the task minimises:
///   classification: cross-entropy; score: probability of the true class; correct: arg-max
///   multi_label:    binary cross-entropy, mean over labels; score: mean probability of what each label is;
///                   correct: every label's own
///   regression:     squared error, mean over outputs; score: exp(-loss); correct: within half a standard deviation
std::unique_ptr<Objective> make_objective(const Task& task);

}  // namespace poise
