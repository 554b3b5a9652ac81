#include "targets.h"

#include <string>

#include "inputs.h"
#include "npy.h"

namespace arrays {
namespace {

std::string in_row(std::int64_t row) { return " in row " + std::to_string(row) + " (counted from 0)"; }

[[noreturn]] void wrong_shape(const std::filesystem::path& file, const torch::Tensor& values,
                              const std::string& wanted) {
  refuse(file, "holds " + described(values.scalar_type(), values.sizes()) + ", but " + wanted + ".");
}

torch::Tensor read_classes(const std::filesystem::path& file, const torch::Tensor& values,
                           std::int64_t classes) {
  if (values.dim() != 1 || values.is_floating_point()) {
    wrong_shape(file, values, "the targets of a classification are one whole number per sample: [N]");
  }
  auto targets = values.to(torch::kLong, /*non_blocking=*/false, /*copy=*/true);
  const std::int64_t row = first_row((targets < 0).logical_or(targets >= classes));
  if (row >= 0) {
    refuse(file, "holds the class " + std::to_string(targets[row].item<std::int64_t>()) + in_row(row) +
                     ", but there are " + std::to_string(classes) + " classes, from 0 to " +
                     std::to_string(classes - 1) + ".");
  }
  return targets;
}

}  // namespace

torch::Tensor read_targets(const std::filesystem::path& file, const poise::Task& task) {
  auto values = map_values(file);
  if (values.dim() == 0 || values.size(0) == 0) refuse(file, "holds no sample.");
  if (task.kind == poise::TaskKind::classification) return read_classes(file, values, task.outputs);

  const auto C = std::to_string(task.outputs);
  if (values.dim() == 1 && task.outputs == 1) values = values.unsqueeze(1);
  if (values.dim() != 2 || values.size(1) != task.outputs) {
    wrong_shape(file, values, "there are " + C + " outputs, so that targets are [N, " + C + "]");
  }
  if (task.kind == poise::TaskKind::multi_label) {
    const std::int64_t row = first_row((values != 0).logical_and(values != 1));
    if (row >= 0) refuse(file, "holds a value other than 0 and 1" + in_row(row) + ", but labels are 0 or 1.");
    return values.to(torch::kFloat, /*non_blocking=*/false, /*copy=*/true);
  }
  auto numbers = values.to(torch::kDouble, /*non_blocking=*/false, /*copy=*/true);
  const std::int64_t row = first_row(numbers.isfinite().logical_not());
  if (row >= 0) refuse(file, "holds a value that is not finite" + in_row(row) + ".");
  return numbers;
}

Scale fit_scale(const std::filesystem::path& file, const torch::Tensor& train) {
  const auto constant = (train == train[0]).all(0);
  if (constant.any().item<bool>()) {
    refuse(file, "has the same value in column " + std::to_string(first_row(constant)) +
                     " of every row of the training split: there is nothing to learn.");
  }
  const auto mean = train.mean(0);
  return {mean, (train - mean).square().mean(0).sqrt()};
}

}  // namespace arrays
