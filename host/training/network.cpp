#include "training/network.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/tokens.h"
#include "training/layout.h"

namespace poise {
namespace {

/// Switches a module to evaluation mode for a scope.
class EvaluationScope {
 public:
  EvaluationScope(torch::nn::Module& module, bool switched) : module_(switched ? &module : nullptr) {
    if (module_ != nullptr) module_->eval();
  }
  ~EvaluationScope() {
    if (module_ != nullptr) module_->train();
  }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  torch::nn::Module* module_;
};

}  // namespace

FusedNetwork::FusedNetwork(const std::vector<Modality>& modalities, std::vector<Loaded<Encoder>> encoders,
                           Loaded<Fusion> fusion, const Task& task)
    : encoders_(std::move(encoders)),
      fusion_(std::move(fusion)),
      takes_tokens_(fusion_.object->takes_tokens()),
      intermediate_(dynamic_cast<IntermediateFusion*>(fusion_.object.get())),
      task_(task) {
  FusionSpec spec;
  spec.task = task;
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    encoders_[m].call([&](Encoder& encoder) { encoder.build(modalities[m]); });
    names_.push_back(modalities[m].name);
    spec.modalities.push_back(modalities[m].name);
    spec.widths.push_back(encoders_[m].object->width());
    staged_.push_back(dynamic_cast<StagedEncoder*>(encoders_[m].object.get()));
    spec.stage_channels.push_back(staged_[m] == nullptr ? std::vector<std::int64_t>()
                                                        : staged_[m]->stage_channels());
    for (const auto& parameter : encoders_[m].object->parameters()) {
      roles_.push_back({parameter, Role::encoder, {static_cast<int>(m)}});
    }
  }
  fusion_.call([&](Fusion& built) { built.build(spec); });
  const auto& given = fusion_.object->roles();
  for (const auto& parameter : fusion_.object->parameters()) {
    const auto role = std::find_if(given.begin(), given.end(),
                                   [&](const RoleOf& r) { return r.parameter.is_same(parameter); });
    roles_.push_back(role != given.end() ? *role : RoleOf{parameter, Role::fusion, {}});
  }
  counts_.encoder_batches.resize(encoders_.size());
  counts_.encoder_absent_rows.resize(encoders_.size());
}

const std::string& FusedNetwork::modality_name(int modality) const {
  return names_.at(static_cast<std::size_t>(modality));
}

std::int64_t FusedNetwork::width(int modality) const {
  return encoders_.at(static_cast<std::size_t>(modality)).object->width();
}

bool FusedNetwork::additive() const { return fusion_.object->additive(); }

void FusedNetwork::begin_step() {
  forget();
  if (training_) return;
  training_ = true;
  for (auto& encoder : encoders_) encoder.object->train();
  fusion_.object->train();
}

void FusedNetwork::begin_evaluation() {
  forget();
  training_ = false;
  for (auto& encoder : encoders_) encoder.object->eval();
  fusion_.object->eval();
}

void FusedNetwork::forget() { pass_ = Pass{}; }

FusedNetwork::Pass& FusedNetwork::pass_of(const Batch& batch) {
  const void* identity = batch.targets.unsafeGetTensorImpl();
  if (pass_.batch == identity) return pass_;
  if (pass_.batch != nullptr && training_) {
    throw Error("a training step has one training pass: ask for the features and logits of its own batch.");
  }
  pass_ = Pass{};
  pass_.batch = identity;
  pass_.evaluated.resize(encoders_.size());
  pass_.absent.resize(encoders_.size());
  pass_.shares.resize(encoders_.size());
  return pass_;
}

torch::Tensor FusedNetwork::encoded(const Batch& batch, int modality, const torch::Tensor& input,
                                    bool evaluate) {
  const auto m = static_cast<std::size_t>(modality);
  const auto& lengths = batch.lengths.at(m);
  const bool one_row = input.size(0) != batch.size();
  (one_row ? counts_.encoder_absent_rows : counts_.encoder_batches)[m] += 1;
  return encoders_[m].call([&](Encoder& encoder) {
    const EvaluationScope scope(encoder, evaluate && training_);
    const auto own_lengths = one_row && lengths.defined() ? lengths.narrow(0, 0, 1) : lengths;
    const auto features = encoder.forward(channels_last_input(input), own_lengths);
    return takes_tokens_ ? features : mean_token(features, own_lengths);
  });
}

std::vector<torch::Tensor> FusedNetwork::encoded_together(const std::vector<torch::Tensor>& inputs,
                                                          std::int64_t batches) {
  std::vector<torch::Tensor> placed;
  for (const auto& input : inputs) placed.push_back(channels_last_input(input));
  for (auto& count : counts_.encoder_batches) count += batches;
  return fusion_.call([&](Fusion&) { return intermediate_->encode(staged_, placed); });
}

const std::vector<torch::Tensor>& FusedNetwork::features(const Batch& batch) {
  Pass& pass = pass_of(batch);
  if (pass.features.empty()) {
    std::vector<torch::Tensor> features;
    if (intermediate_ != nullptr) {
      features = encoded_together(batch.inputs, 1);
    } else {
      for (int m = 0; m < modalities(); ++m) {
        features.push_back(encoded(batch, m, batch.inputs.at(static_cast<std::size_t>(m)), false));
      }
    }
    pass.features = std::move(features);
  }
  return pass.features;
}

const std::vector<torch::Tensor>& FusedNetwork::encode(const Batch& batch) {
  const auto& all = features(batch);
  if (!takes_tokens_) return all;
  if (pass_.pooled.empty()) {
    for (std::size_t m = 0; m < all.size(); ++m) {
      pass_.pooled.push_back(mean_token(all[m], batch.lengths.at(m)));
    }
  }
  return pass_.pooled;
}

std::vector<torch::Tensor> FusedNetwork::token_lengths(const Batch& batch, std::int64_t times) const {
  std::vector<torch::Tensor> result(encoders_.size());
  for (std::size_t m = 0; m < encoders_.size() && takes_tokens_; ++m) {
    const auto& lengths = batch.lengths.at(m);
    if (lengths.defined() && encoders_[m].object->gives_tokens()) result[m] = lengths.repeat({times});
  }
  return result;
}

FusionOutput& FusedNetwork::fused(const Batch& batch) {
  Pass& pass = pass_of(batch);
  if (!pass.output.logits.defined()) {
    features(batch);
    pass.output =
        fusion_.call([&](Fusion& fusion) { return fusion.forward(pass.features, token_lengths(batch, 1)); });
    counts_.fusion_batches += 1;
  }
  return pass.output;
}

torch::Tensor FusedNetwork::logits(const Batch& batch) { return fused(batch).logits; }

torch::Tensor FusedNetwork::feature(const Batch& batch) { return fused(batch).feature; }

torch::Tensor FusedNetwork::share(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  const torch::Tensor& feature = encode(batch).at(m);
  torch::Tensor& share = pass_.shares.at(m);
  if (!share.defined()) {
    share = fusion_.call([&](Fusion& fusion) { return fusion.share(modality, feature); });
  }
  return share;
}

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
