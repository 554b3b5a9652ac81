#include "prepared_data.h"

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "poise/error.h"

namespace poise::conformance {

using torch::Tensor;

Batch Data::fetch(Split split, const Tensor& ids) const { return dataset->fetch(split, ids, 7); }

Tensor Data::spread(Split split, std::int64_t count) const {
  const auto size = std::max<std::int64_t>(dataset->size(split), 0);
  count = std::min(count, size);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(i * size / count);
  return at::tensor(ids, at::kLong);
}

std::vector<Tensor> Data::pieces(Split split, std::int64_t count) const {
  constexpr std::int64_t most_bytes = std::int64_t{256} << 20;
  std::int64_t bytes = 1;
  for (const auto& modality : modalities) {
    std::int64_t values = 1;
    for (const auto size : modality.shape) values *= size;
    bytes += 4 * values;
  }
  const auto affordable = std::max<std::int64_t>(most_bytes / bytes, 8);
  return spread(split, std::min(count, affordable)).split(64);
}

bool Data::repeats() const {
  const Split split = splits.front();
  const auto ids = spread(split, 8);
  return same_samples(fetch(split, ids), fetch(split, ids));
}

Data prepared(const Subject& subject, bool reversed) {
  Data data;
  data.dataset = make<Dataset>(subject);
  torch::manual_seed(subject.seed);
  try {
    data.modalities = data.dataset->modalities();
    data.task = data.dataset->task();
    std::vector<int> order(data.modalities.size());
    std::iota(order.begin(), order.end(), 0);
    if (reversed) {
      std::reverse(order.begin(), order.end());
      std::reverse(data.modalities.begin(), data.modalities.end());
    }
    static_cast<void>(data.dataset->files());
    data.dataset->build({.modalities = order, .threads = 2});
  } catch (const Error& error) {
    if (error.fault() != Fault::usage) throw;
    data.absent = error.what();
    return data;
  }
  for (const auto split : {Split::train, Split::validation, Split::test}) {
    if (data.dataset->size(split) > 0) data.splits.push_back(split);
  }
  if (data.splits.empty()) throw Error("every split is empty");
  return data;
}

Tensor input_of(const Batch& batch, std::size_t m, std::int64_t row) {
  Tensor input = batch.inputs.at(m)[row];
  const Tensor& lengths = batch.lengths.at(m);
  if (!lengths.defined()) return input;
  return input.narrow(0, 0, std::clamp<std::int64_t>(lengths[row].item<std::int64_t>(), 0, input.size(0)));
}

bool same_sample(const Batch& a, std::int64_t i, const Batch& b, std::int64_t j) {
  bool same = a.inputs.size() == b.inputs.size() && same_bits(a.targets[i], b.targets[j]);
  for (std::size_t m = 0; same && m < a.inputs.size(); ++m) {
    same = same_bits(input_of(a, m, i), input_of(b, m, j));
  }
  return same;
}

bool same_samples(const Batch& a, const Batch& b) {
  bool same = a.size() == b.size();
  for (std::int64_t i = 0; same && i < a.size(); ++i) same = same_sample(a, i, b, i);
  return same;
}

}  // namespace poise::conformance
