#include "poise/reference_network.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/intermediate.h"

namespace poise::reference {

using torch::Tensor;

Tensor mean_token(const Tensor& features, const Tensor& lengths) {
  if (features.dim() != 3) return features;
  if (!lengths.defined()) return features.mean(1);
  std::vector<Tensor> rows;
  for (std::int64_t b = 0; b < features.size(0); ++b) {
    const auto length = std::max<std::int64_t>(lengths[b].item<std::int64_t>(), 1);
    rows.push_back(features[b].narrow(0, 0, length).mean(0));
  }
  return at::stack(rows);
}

Network::Network(const std::vector<Modality>& modalities, std::vector<std::shared_ptr<Encoder>> encoders,
                 std::shared_ptr<Fusion> fusion, const Task& task)
    : encoders_(std::move(encoders)), fusion_(std::move(fusion)), task_(task) {
  FusionSpec spec;
  spec.task = task;
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    encoders_[m]->build(modalities.at(m));
    names_.push_back(modalities[m].name);
    spec.modalities.push_back(modalities[m].name);
    spec.widths.push_back(encoders_[m]->width());
    const auto* staged = dynamic_cast<const StagedEncoder*>(encoders_[m].get());
    spec.stage_channels.push_back(staged == nullptr ? std::vector<std::int64_t>() : staged->stage_channels());
    for (const auto& parameter : encoders_[m]->parameters()) {
      roles_.push_back({parameter, Role::encoder, {static_cast<int>(m)}});
    }
  }
  fusion_->build(spec);
  for (const auto& parameter : fusion_->parameters()) {
    RoleOf role{parameter, Role::fusion, {}};
    for (const auto& given : fusion_->roles()) {
      if (given.parameter.is_same(parameter)) role = given;
    }
    roles_.push_back(role);
  }
}

const std::string& Network::modality_name(int modality) const {
  return names_.at(static_cast<std::size_t>(modality));
}

std::int64_t Network::width(int modality) const {
  return encoders_.at(static_cast<std::size_t>(modality))->width();
}

void Network::set_mode(bool training) {
  for (auto& encoder : encoders_) encoder->train(training);
  fusion_->train(training);
  for (auto& [name, module] : own_) module->train(training);
}

void Network::begin_step() {
  forget();
  subsets_asked_ = 0;
  fuse_calls_ = 0;
  training_ = true;
  set_mode(true);
}

void Network::begin_evaluation() {
  forget();
  training_ = false;
  set_mode(false);
}

Network::Pass& Network::pass_of(const Batch& batch) {
  if (pass_.targets.is_same(batch.targets)) return pass_;
  if (pass_.targets.defined() && training_) {
    throw Error("a training step has one training pass: ask for the features and logits of its own batch.");
  }
  pass_ = Pass{};
  pass_.targets = batch.targets;
  pass_.features.resize(encoders_.size());
  pass_.pooled.resize(encoders_.size());
  pass_.shares.resize(encoders_.size());
  if (training_) subsets_asked_ += 1;
  return pass_;
}

Tensor Network::encoded(const Batch& batch, std::size_t m, const Tensor& input) {
  const Tensor& lengths = batch.lengths.at(m);
  const auto given = encoders_.at(m)->forward(input, lengths);
  return fusion_->takes_tokens() ? given : mean_token(given, lengths);
}

std::vector<Tensor> Network::encoded(const Batch& batch, const std::vector<Tensor>& inputs) {
  if (auto* inside = dynamic_cast<IntermediateFusion*>(fusion_.get())) {
    std::vector<StagedEncoder*> staged;
    for (auto& encoder : encoders_) staged.push_back(dynamic_cast<StagedEncoder*>(encoder.get()));
    return inside->encode(staged, inputs);
  }
  std::vector<Tensor> features;
  for (std::size_t m = 0; m < encoders_.size(); ++m) features.push_back(encoded(batch, m, inputs.at(m)));
  return features;
}

FusionOutput Network::fused(const Batch& batch, const std::vector<Tensor>& features) {
  std::vector<Tensor> lengths(encoders_.size());
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    if (fusion_->takes_tokens() && encoders_[m]->gives_tokens()) lengths[m] = batch.lengths.at(m);
  }
  return fusion_->forward(features, lengths);
}

FusionOutput Network::fuse(const Batch& batch, const std::vector<Tensor>& features, const Tensor& keep) {
  fuse_calls_ += 1;
  if (!keep.defined()) return fused(batch, features);
  std::vector<Tensor> kept;
  for (std::size_t m = 0; m < features.size(); ++m) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(features[m].dim()), 1);
    shape[0] = features[m].size(0);
    kept.push_back(features[m] * keep.select(1, static_cast<std::int64_t>(m)).reshape(shape));
  }
  return fused(batch, kept);
}

FusionOutput& Network::full(const Batch& batch) {
  features(batch);
  if (!pass_.output.logits.defined()) pass_.output = fused(batch, pass_.features);
  return pass_.output;
}

const Tensor& Network::taken(const Batch& batch, int modality) {
  Pass& pass = pass_of(batch);
  const auto m = static_cast<std::size_t>(modality);
  if (pass.features.at(m).defined()) return pass.features[m];
  if (dynamic_cast<IntermediateFusion*>(fusion_.get()) != nullptr) {
    pass.features = encoded(batch, batch.inputs);
  } else {
    pass.features[m] = encoded(batch, m, batch.inputs.at(m));
  }
  return pass.features[m];
}

const std::vector<Tensor>& Network::features(const Batch& batch) {
  for (int m = 0; m < modalities(); ++m) taken(batch, m);
  return pass_.features;
}

Tensor Network::encode(const Batch& batch, int modality) {
  const Tensor& features = taken(batch, modality);
  Tensor& pooled = pass_.pooled.at(static_cast<std::size_t>(modality));
  if (!pooled.defined()) pooled = mean_token(features, batch.lengths.at(static_cast<std::size_t>(modality)));
  return pooled;
}

Tensor Network::logits(const Batch& batch) { return full(batch).logits; }

Tensor Network::feature(const Batch& batch) { return full(batch).feature; }

Tensor Network::share(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  const Tensor pooled = encode(batch, modality);
  if (!pass_.shares[m].defined()) pass_.shares[m] = fusion_->share(modality, pooled);
  return pass_.shares[m];
}

Tensor Network::logits(const Batch& batch, const std::vector<Subset>& subsets) {
  // The training pass is first: partial subsets see the BatchNorm statistics that it leaves.
  const Tensor whole = logits(batch);
  std::vector<Tensor> all;
  for (const Subset subset : subsets) {
    if (subset == Subset::all(modalities())) {
      all.push_back(whole);
      continue;
    }
    if (training_) subsets_asked_ += 1;
    std::vector<Tensor> inputs;
    for (std::size_t m = 0; m < encoders_.size(); ++m) {
      const Tensor& input = batch.inputs.at(m);
      inputs.push_back(subset.has(static_cast<int>(m)) ? input : encoders_[m]->absent(input));
    }
    set_mode(false);
    all.push_back(fused(batch, encoded(batch, inputs)).logits);
    set_mode(training_);
  }
  return at::stack(all);
}

std::vector<Tensor> Network::parameters() const {
  std::vector<Tensor> result;
  for (const auto& of : roles_) result.push_back(of.parameter);
  return result;
}

std::vector<Tensor> Network::parameters(Role role) const {
  std::vector<Tensor> result;
  for (const auto& of : roles_) {
    if (of.role == role) result.push_back(of.parameter);
  }
  return result;
}

std::vector<Tensor> Network::parameters(Role role, int modality) const {
  std::vector<Tensor> result;
  for (const auto& of : roles_) {
    const bool is_own =
        std::find(of.modalities.begin(), of.modalities.end(), modality) != of.modalities.end();
    if (of.role == role && is_own) result.push_back(of.parameter);
  }
  return result;
}

std::vector<std::pair<std::string, Tensor>> Network::named_tensors() const {
  std::vector<std::pair<std::string, Tensor>> result;
  const auto list = [&](const std::string& prefix, const torch::nn::Module& module) {
    for (const auto& item : module.named_parameters()) result.emplace_back(prefix + item.key(), item.value());
    for (const auto& item : module.named_buffers()) result.emplace_back(prefix + item.key(), item.value());
  };
  for (std::size_t m = 0; m < encoders_.size(); ++m) list("encoder." + names_[m] + ".", *encoders_[m]);
  list("fusion.", *fusion_);
  for (const auto& [name, module] : own_) list("own." + name + ".", *module);
  return result;
}

Batch Network::masked(const Batch& batch, const Tensor& present) const {
  Batch result = batch;
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    std::vector<Tensor> rows;
    for (std::int64_t b = 0; b < batch.size(); ++b) {
      const auto bits = static_cast<std::uint32_t>(present[b].item<std::int64_t>());
      const auto row = batch.inputs[m].narrow(0, b, 1);
      rows.push_back(Subset{bits}.has(static_cast<int>(m)) ? row : encoders_[m]->absent(row));
    }
    result.inputs[m] = at::cat(rows);
  }
  return result;
}

void Network::add(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                  const std::vector<int>& modalities) {
  const bool is_taken =
      std::any_of(own_.begin(), own_.end(), [&](const auto& own) { return own.first == name; });
  if (is_taken) throw Error("it adds a module '" + name + "' twice.");
  for (auto& parameter : module->parameters()) parameter.set_data(parameter.to(dtype_));
  for (auto& buffer : module->buffers()) {
    if (buffer.is_floating_point()) buffer.set_data(buffer.to(dtype_));
  }
  module->train(training_);
  own_.emplace_back(name, module);
  for (const auto& parameter : module->parameters()) roles_.push_back({parameter, Role::own, modalities});
}

void Network::convert(torch::Dtype dtype) {
  dtype_ = dtype;
  for (auto& encoder : encoders_) encoder->to(dtype);
  fusion_->to(dtype);
}

}  // namespace poise::reference
