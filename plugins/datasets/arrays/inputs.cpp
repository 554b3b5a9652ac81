#include "inputs.h"

#include <algorithm>
#include <string>
#include <vector>

#include "npy.h"

namespace arrays {

torch::Tensor delivered(const Input& input, const torch::Tensor& rows) {
  auto values = input.values.index_select(0, rows).to(torch::kFloat);
  if (!input.lengths.defined()) return values;
  const std::int64_t steps = values.size(1);
  const auto padding = torch::arange(steps) >= input.lengths.index_select(0, rows).unsqueeze(1);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(values.dim()), 1);
  shape[0] = rows.size(0);
  shape[1] = steps;
  return values.masked_fill_(padding.view(shape), 0.0);
}

torch::Tensor read_lengths(const std::filesystem::path& file, std::int64_t steps) {
  const auto values = map_values(file);
  if (values.dim() != 1 || values.is_floating_point()) {
    refuse(file, "holds " + described(values.scalar_type(), values.sizes()) +
                     ", but lengths are one whole number per sample: [N].");
  }
  auto lengths = values.to(torch::kLong, /*non_blocking=*/false, /*copy=*/true);
  if (lengths.numel() == 0) return lengths;
  const std::int64_t row = first_row((lengths < 1).logical_or(lengths > steps));
  if (row >= 0) {
    refuse(file, "holds the length " + std::to_string(lengths[row].item<std::int64_t>()) + " in row " +
                     std::to_string(row) + " (counted from 0), but the sequences have 1 to " +
                     std::to_string(steps) + " steps.");
  }
  return lengths;
}

void check_finite(const std::filesystem::path& file, const Input& input) {
  if (!input.values.is_floating_point()) return;
  const std::int64_t count = input.values.size(0);
  // 16 MiB at a time, whatever the size of the file.
  const std::int64_t chunk = std::max<std::int64_t>(1, (std::int64_t{4} << 20) / input.values[0].numel());
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const auto finite = delivered(input, torch::arange(begin, std::min(begin + chunk, count))).isfinite();
    if (finite.all().item<bool>()) continue;
    refuse(file, "holds a value that is no finite float32 in row " +
                     std::to_string(begin + first_row(finite.logical_not())) + " (counted from 0).");
  }
}

std::int64_t first_row(const torch::Tensor& wrong) {
  const auto rows = wrong.reshape({wrong.size(0), -1}).any(1).nonzero().flatten();
  return rows.numel() == 0 ? -1 : rows[0].item<std::int64_t>();
}

}  // namespace arrays
