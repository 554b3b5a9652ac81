#include "training/records.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace poise {

void EpochRecords::add(const std::string& name, const torch::Tensor& value, double weight) {
  const auto weighted = value.detach().to(at::kDouble) * weight;
  const auto known = std::find_if(sums_.begin(), sums_.end(), [&](const Sum& s) { return s.name == name; });
  if (known == sums_.end()) {
    sums_.push_back({name, weight, weighted});
  } else {
    known->weight += weight;
    known->sum.add_(weighted);
  }
}

std::vector<double> EpochRecords::mean(const std::string& name) const {
  for (const auto& sum : sums_) {
    if (sum.name != name) continue;
    const auto mean = (sum.sum / sum.weight).cpu().reshape({-1});
    return {mean.data_ptr<double>(), mean.data_ptr<double>() + mean.numel()};
  }
  return {};
}

std::vector<std::string> EpochRecords::names() const {
  std::vector<std::string> names;
  for (const auto& sum : sums_) names.push_back(sum.name);
  return names;
}

nlohmann::json EpochRecords::weights() const {
  auto weights = nlohmann::json::array();
  for (const auto& sum : sums_) weights.push_back({sum.name, sum.weight});
  return weights;
}

std::vector<std::pair<std::string, torch::Tensor>> EpochRecords::sums() const {
  std::vector<std::pair<std::string, torch::Tensor>> sums;
  for (const auto& sum : sums_) sums.emplace_back(sum.name, sum.sum);
  return sums;
}

void EpochRecords::restore(const std::string& name, double weight, const torch::Tensor& sum) {
  sums_.push_back({name, weight, sum});
}

}  // namespace poise
