#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "poise/task.h"

namespace poise {

/// The task's metrics of a split by name, the one that ranks models first. `predictions` [N, C] are the logits
/// (regression: the numbers) of every sample, `targets` as the task says. All but mse are better when larger.
///   classification: accuracy, macro_f1, mean_average_precision
///   multi_label:    mean_average_precision, macro_f1, accuracy (share of the labels that are right)
///   regression:     r2, mse (means over the outputs, in units of the standardised targets)
using Metrics = std::vector<std::pair<std::string, double>>;
Metrics metrics_of(const Task& task, const torch::Tensor& predictions, const torch::Tensor& targets);

/// The name of the first of them.
std::string main_metric(const Task& task);

/// Mean over classes of 2 TP / (2 TP + FP + FN), 0 where a class is neither there nor predicted. `predicted` and
/// `actual` are [N, C] bool.
double macro_f1(const torch::Tensor& predicted, const torch::Tensor& actual);

/// Mean over the classes that occur of the average precision: with samples in falling order of their score, the
/// mean over a class' samples of the precision at their ranks; equal scores share the precision at the last of
/// them, so that the order of samples does not matter. NaN when none occurs. `scores` [N, C], `actual` [N, C] bool.
double mean_average_precision(const torch::Tensor& scores, const torch::Tensor& actual);

}  // namespace poise
