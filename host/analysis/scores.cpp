#include "analysis/scores.h"

#include <limits>

#include <ATen/ATen.h>

namespace poise {
namespace {

double value(const torch::Tensor& scalar) { return scalar.item<double>(); }

double average_precision(const torch::Tensor& scores, const torch::Tensor& actual) {
  const auto [sorted, order] = scores.sort(0, /*descending=*/true);
  const auto hit = actual.index({order}).to(at::kDouble);
  const std::int64_t n = sorted.size(0);
  // The last rank of each sample's run of equal scores.
  const auto starts = at::ones({n}, at::kBool);
  starts.slice(0, 1).copy_(sorted.slice(0, 1).ne(sorted.slice(0, 0, n - 1)));
  const auto run = starts.cumsum(0) - 1;
  const auto last = run.bincount().cumsum(0).index({run}) - 1;
  const auto precision = hit.cumsum(0).index({last}) / (last.to(at::kDouble) + 1);
  return value((precision * hit).sum() / hit.sum());
}

Metrics of_classes(const torch::Tensor& logits, const torch::Tensor& targets) {
  const auto classes = logits.size(1);
  const auto actual = at::one_hot(targets, classes).to(at::kBool);
  const auto predicted = logits.argmax(1);
  return {{"accuracy", value(predicted.eq(targets).to(at::kDouble).mean())},
          {"macro_f1", macro_f1(at::one_hot(predicted, classes).to(at::kBool), actual)},
          {"mean_average_precision", mean_average_precision(logits.softmax(1), actual)}};
}

Metrics of_labels(const torch::Tensor& logits, const torch::Tensor& targets) {
  const auto actual = targets.gt(0.5);
  const auto predicted = logits.gt(0);
  return {{"mean_average_precision", mean_average_precision(logits, actual)},
          {"macro_f1", macro_f1(predicted, actual)},
          {"accuracy", value(predicted.eq(actual).to(at::kDouble).mean())}};
}

Metrics of_numbers(const torch::Tensor& predictions, const torch::Tensor& targets) {
  const auto y = targets.to(at::kDouble);
  const auto residual = (predictions.to(at::kDouble) - y).square().sum(0);
  const auto total = (y - y.mean(0)).square().sum(0);
  return {{"r2", value((1 - residual / total).mean())},
          {"mse", value((residual / static_cast<double>(y.size(0))).mean())}};
}

}  // namespace

double macro_f1(const torch::Tensor& predicted, const torch::Tensor& actual) {
  const auto hits = predicted.logical_and(actual).sum(0).to(at::kDouble);
  const auto both = (predicted.sum(0) + actual.sum(0)).to(at::kDouble);
  return value((2 * hits / both.clamp_min(1)).mean());
}

double mean_average_precision(const torch::Tensor& scores, const torch::Tensor& actual) {
  double sum = 0;
  int occurring = 0;
  for (std::int64_t c = 0; c < scores.size(1); ++c) {
    if (!actual.select(1, c).any().item<bool>()) continue;
    sum += average_precision(scores.select(1, c), actual.select(1, c));
    ++occurring;
  }
  return occurring == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / occurring;
}

Metrics metrics_of(const Task& task, const torch::Tensor& predictions, const torch::Tensor& targets) {
  switch (task.kind) {
    case TaskKind::classification: return of_classes(predictions, targets);
    case TaskKind::multi_label: return of_labels(predictions, targets);
    case TaskKind::regression: return of_numbers(predictions, targets);
  }
  return {};
}

std::string main_metric(const Task& task) {
  switch (task.kind) {
    case TaskKind::classification: return "accuracy";
    case TaskKind::multi_label: return "mean_average_precision";
    case TaskKind::regression: return "r2";
  }
  return {};
}

}  // namespace poise
