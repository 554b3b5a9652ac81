// A FusedNetwork's full pass. network_subsets.cpp has the partial ones, network_parameters.cpp its tensors.
#include "training/network.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/tokens.h"
#include "training/clock.h"
#include "training/evaluation_scope.h"
#include "training/layout.h"

namespace poise {
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
  set_mode(true);
}

void FusedNetwork::begin_evaluation() {
  forget();
  training_ = false;
  set_mode(false);
}

void FusedNetwork::set_mode(bool training) {
  for (auto& encoder : encoders_) encoder.object->train(training);
  fusion_.object->train(training);
  for (auto& [name, module] : own_) module->train(training);
}

void FusedNetwork::forget() { pass_ = Pass{}; }

FusedNetwork::Pass& FusedNetwork::pass_of(const Batch& batch) {
  if (pass_.targets.is_same(batch.targets)) return pass_;
  if (pass_.targets.defined() && training_) {
    throw Error("a training step has one training pass: ask for the features and logits of its own batch.");
  }
  pass_ = Pass{};
  pass_.targets = batch.targets;
  pass_.features.resize(encoders_.size());
  pass_.pooled.resize(encoders_.size());
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
  const Stopwatch watch(counts_.seconds);
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
  const Stopwatch watch(counts_.seconds);
  return fusion_.call([&](Fusion&) { return intermediate_->encode(staged_, placed); });
}

const torch::Tensor& FusedNetwork::encoded_as_taken(const Batch& batch, int modality) {
  Pass& pass = pass_of(batch);
  const auto m = static_cast<std::size_t>(modality);
  if (pass.features.at(m).defined()) return pass.features[m];
  if (intermediate_ != nullptr) {
    pass.features = encoded_together(batch.inputs, 1);
  } else {
    pass.features[m] = encoded(batch, modality, batch.inputs.at(m), false);
  }
  return pass.features[m];
}

const std::vector<torch::Tensor>& FusedNetwork::features(const Batch& batch) {
  for (int m = 0; m < modalities(); ++m) encoded_as_taken(batch, m);
  return pass_.features;
}

torch::Tensor FusedNetwork::encode(const Batch& batch, int modality) {
  const auto& taken = encoded_as_taken(batch, modality);
  if (!takes_tokens_) return taken;
  const auto m = static_cast<std::size_t>(modality);
  torch::Tensor& pooled = pass_.pooled.at(m);
  if (!pooled.defined()) pooled = mean_token(taken, batch.lengths.at(m));
  return pooled;
}

std::vector<torch::Tensor> FusedNetwork::token_lengths(const Batch& batch, std::int64_t times) const {
  std::vector<torch::Tensor> result(encoders_.size());
  for (std::size_t m = 0; m < encoders_.size() && takes_tokens_; ++m) {
    const auto& lengths = batch.lengths.at(m);
    if (lengths.defined() && encoders_[m].object->gives_tokens()) result[m] = lengths.repeat({times});
  }
  return result;
}

FusionOutput FusedNetwork::fused_features(const Batch& batch, const std::vector<torch::Tensor>& features) {
  counts_.fusion_batches += 1;
  const Stopwatch watch(counts_.seconds);
  return fusion_.call([&](Fusion& built) { return built.forward(features, token_lengths(batch, 1)); });
}

FusionOutput FusedNetwork::fuse(const Batch& batch, const std::vector<torch::Tensor>& features,
                                const torch::Tensor& keep) {
  if (!keep.defined()) return fused_features(batch, features);
  std::vector<torch::Tensor> kept;
  for (std::size_t m = 0; m < features.size(); ++m) {
    auto factor = keep.select(1, static_cast<std::int64_t>(m));
    while (factor.dim() < features[m].dim()) factor = factor.unsqueeze(-1);
    kept.push_back(features[m] * factor);
  }
  return fused_features(batch, kept);
}

FusionOutput& FusedNetwork::fused(const Batch& batch) {
  Pass& pass = pass_of(batch);
  if (!pass.output.logits.defined()) {
    pass.output = fused_features(batch, features(batch));
  }
  return pass.output;
}

torch::Tensor FusedNetwork::logits(const Batch& batch) { return fused(batch).logits; }

torch::Tensor FusedNetwork::feature(const Batch& batch) { return fused(batch).feature; }

torch::Tensor FusedNetwork::share(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  const torch::Tensor feature = encode(batch, modality);
  torch::Tensor& share = pass_.shares.at(m);
  if (!share.defined()) {
    const Stopwatch watch(counts_.seconds);
    share = fusion_.call([&](Fusion& fusion) { return fusion.share(modality, feature); });
  }
  return share;
}

}  // namespace poise
