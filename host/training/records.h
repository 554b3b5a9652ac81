#pragma once

#include <string>
#include <vector>

#include <torch/types.h>
#include <nlohmann/json.hpp>

namespace poise {

/// Means over an epoch, summed on the device so that no step waits for it.
class EpochRecords {
 public:
  /// `value` is a scalar or a vector; NaN and infinity are kept, so that they show.
  void add(const std::string& name, const torch::Tensor& value, double weight = 1);
  /// The mean so far, empty when nothing was added under the name.
  [[nodiscard]] std::vector<double> mean(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  void clear() { sums_.clear(); }

  /// What an interrupted epoch needs to go on: weights by name, sums as tensors.
  [[nodiscard]] nlohmann::json weights() const;
  [[nodiscard]] std::vector<std::pair<std::string, torch::Tensor>> sums() const;
  void restore(const std::string& name, double weight, const torch::Tensor& sum);

 private:
  struct Sum {
    std::string name;
    double weight = 0;
    torch::Tensor sum;
  };
  std::vector<Sum> sums_;  ///< in the order of their first appearance
};

}  // namespace poise
