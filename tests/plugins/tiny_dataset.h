#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/dataset.h"
#include "poise/plugin.h"

/// A dataset without fault: one modality of four numbers and two classes, computed from split and id.
class TinyDataset : public poise::Dataset {
 public:
  explicit TinyDataset(poise::Config& /*config*/) {}

  [[nodiscard]] std::vector<poise::Modality> modalities() const override {
    poise::Modality modality;
    modality.name = "numbers";
    modality.shape = {4};
    return {modality};
  }
  [[nodiscard]] poise::Task task() const override {
    poise::Task result;
    result.outputs = 2;
    return result;
  }
  [[nodiscard]] std::vector<std::filesystem::path> files() const override { return {}; }
  void build(const poise::DatasetSpec& /*spec*/) override {}
  [[nodiscard]] std::int64_t size(poise::Split split) const override {
    return split == poise::Split::train ? 32 : 16;
  }
  [[nodiscard]] poise::Batch fetch(poise::Split split, const torch::Tensor& ids,
                                   std::uint64_t /*seed*/) const override {
    const torch::Tensor number = ids.to(at::kFloat) + (1 + 1000 * static_cast<int>(split));
    poise::Batch batch;
    batch.ids = ids;
    batch.inputs = {at::sin(number.unsqueeze(1) * at::arange(1, 5, at::kFloat))};
    batch.lengths.resize(1);
    batch.targets = ids.remainder(2);
    return batch;
  }
};
