#include "poise/shapley.h"

#include <ATen/ATen.h>

#include "poise/subset.h"

namespace poise {

double factorial(int n) { return n < 2 ? 1.0 : n * factorial(n - 1); }

torch::Tensor shapley_numerators(int k) {
  const int subsets = (1 << k) - 1;
  auto table = at::empty({subsets, k}, at::kDouble);
  auto entry = table.accessor<double, 2>();
  for (int row = 0; row < subsets; ++row) {
    const Subset s{static_cast<std::uint32_t>(row + 1)};
    for (int m = 0; m < k; ++m) {
      entry[row][m] = s.has(m) ? factorial(s.size() - 1) * factorial(k - s.size())
                               : -factorial(s.size()) * factorial(k - s.size() - 1);
    }
  }
  return table;
}

}  // namespace poise
