// A FusedNetwork's partial subsets: evaluation passes with absent inputs, and the work that they share.
#include <algorithm>
#include <memory>

#include <ATen/ATen.h>

#include "training/clock.h"
#include "training/evaluation_scope.h"
#include "training/network.h"

namespace poise {

const torch::Tensor& FusedNetwork::evaluated(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  if (!training_ || encoders_[m].object->modes_agree()) return pass_.features[m];
  torch::Tensor& features = pass_.evaluated[m];
  if (!features.defined()) features = encoded(batch, modality, batch.inputs[m], true);
  return features;
}

const torch::Tensor& FusedNetwork::absent(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  torch::Tensor& features = pass_.absent[m];
  if (features.defined()) return features;
  const Encoder& encoder = *encoders_[m].object;
  const torch::Tensor& input = batch.inputs[m];
  if (encoder.constant_when_absent()) {
    const auto row = encoded(batch, modality, encoder.absent(input.narrow(0, 0, 1)), true);
    auto sizes = row.sizes().vec();
    sizes[0] = batch.size();
    features = row.expand(sizes);
  } else {
    features = encoded(batch, modality, encoder.absent(input), true);
  }
  return features;
}

std::vector<torch::Tensor> FusedNetwork::partial_features(const Batch& batch,
                                                          const std::vector<Subset>& subsets) {
  std::vector<torch::Tensor> stacked;
  for (int m = 0; m < modalities(); ++m) {
    const auto& input = batch.inputs[static_cast<std::size_t>(m)];
    std::vector<torch::Tensor> of_subsets;
    for (const Subset subset : subsets) {
      if (intermediate_ == nullptr) {
        of_subsets.push_back(subset.has(m) ? evaluated(batch, m) : absent(batch, m));
      } else {
        const Encoder& encoder = *encoders_[static_cast<std::size_t>(m)].object;
        of_subsets.push_back(subset.has(m) ? input : encoder.absent(input));
      }
    }
    stacked.push_back(subsets.size() == 1 ? of_subsets.front() : at::cat(of_subsets));
  }
  if (intermediate_ == nullptr) return stacked;
  std::vector<std::unique_ptr<EvaluationScope>> scopes;
  for (auto& encoder : encoders_) {
    scopes.push_back(std::make_unique<EvaluationScope>(*encoder.object, training_));
  }
  return encoded_together(stacked, static_cast<std::int64_t>(subsets.size()));
}

torch::Tensor FusedNetwork::partial_logits(const Batch& batch, const std::vector<Subset>& subsets) {
  const auto count = static_cast<std::int64_t>(subsets.size());
  const EvaluationScope scope(*fusion_.object, training_ && !fusion_.object->modes_agree());
  const auto features = partial_features(batch, subsets);
  counts_.fusion_batches += count;
  const Stopwatch watch(counts_.seconds);
  const auto logits = fusion_.call(
      [&](Fusion& fusion) { return fusion.forward(features, token_lengths(batch, count)).logits; });
  return logits.view({count, batch.size(), task_.outputs});
}

torch::Tensor FusedNetwork::logits(const Batch& batch, const std::vector<Subset>& subsets) {
  const Subset full = Subset::all(modalities());
  // The training pass runs first, also when only partial subsets are asked for: they see the BatchNorm
  // statistics that it leaves, and an evaluation pass before it would give silently wrong gradients.
  const torch::Tensor whole = logits(batch);
  std::vector<Subset> partial;
  std::copy_if(subsets.begin(), subsets.end(), std::back_inserter(partial),
               [&](Subset subset) { return !(subset == full); });
  if (partial.empty()) return whole.unsqueeze(0).expand({static_cast<std::int64_t>(subsets.size()), -1, -1});
  const auto parts = partial_logits(batch, partial).unbind(0);
  std::vector<torch::Tensor> ordered;
  auto next = parts.begin();
  for (const Subset subset : subsets) ordered.push_back(subset == full ? whole : *next++);
  return at::stack(ordered);
}

Batch FusedNetwork::masked(const Batch& batch, const torch::Tensor& present) const {
  Batch result = batch;
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    const auto& input = batch.inputs[m];
    std::vector<std::int64_t> shape(static_cast<std::size_t>(input.dim()), 1);
    shape[0] = batch.size();
    const auto keep = present.bitwise_right_shift(static_cast<std::int64_t>(m)).bitwise_and(1).to(at::kBool);
    result.inputs[m] = at::where(keep.view(shape), input, encoders_[m].object->absent(input));
  }
  return result;
}

}  // namespace poise
