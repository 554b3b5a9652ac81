#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checks.h"
#include "poise/dataset.h"

namespace poise::conformance {

/// The dataset under test, with its data.
struct Data {
  std::shared_ptr<Dataset> dataset;
  std::vector<Modality> modalities;  ///< as they are delivered
  Task task;
  std::vector<Split> splits;  ///< those that are not empty
  std::string absent;         ///< why there is no data

  /// Samples of one seed.
  [[nodiscard]] Batch fetch(Split split, const torch::Tensor& ids) const;
  /// At most `count` ids of a split, evenly spread over it.
  [[nodiscard]] torch::Tensor spread(Split split, std::int64_t count) const;
  /// Such ids in pieces, together no more samples than 256 MiB hold.
  [[nodiscard]] std::vector<torch::Tensor> pieces(Split split, std::int64_t count) const;
  /// Whether a fetch gives the same samples again.
  [[nodiscard]] bool repeats() const;
};

/// With all modalities, or all in the reverse order. Data that the dataset misses with Fault::usage are `absent`.
Data prepared(const Subject& subject, bool reversed = false);

/// The input of a row, without its padding.
torch::Tensor input_of(const Batch& batch, std::size_t m, std::int64_t row);
bool same_sample(const Batch& a, std::int64_t i, const Batch& b, std::int64_t j);
bool same_samples(const Batch& a, const Batch& b);

/// A check of a dataset that has its data.
using DataCheck = Finding (*)(const Data& data, const Subject& subject);
template <DataCheck check>
Finding on_data(const Subject& subject) {
  const Data data = prepared(subject);
  return data.absent.empty() ? check(data, subject) : skipped(data.absent);
}

}  // namespace poise::conformance
