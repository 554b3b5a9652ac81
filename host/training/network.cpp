#include "training/network.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "poise/error.h"

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
    : encoders_(std::move(encoders)), fusion_(std::move(fusion)), outputs_(task.outputs) {
  FusionSpec spec;
  spec.task = task;
  for (std::size_t m = 0; m < encoders_.size(); ++m) {
    encoders_[m].call([&](Encoder& encoder) { encoder.build(modalities[m]); });
    names_.push_back(modalities[m].name);
    spec.modalities.push_back(modalities[m].name);
    spec.widths.push_back(encoders_[m].object->width());
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
    return encoder.forward(channels_last_input(input),
                           one_row && lengths.defined() ? lengths.narrow(0, 0, 1) : lengths);
  });
}

const std::vector<torch::Tensor>& FusedNetwork::encode(const Batch& batch) {
  Pass& pass = pass_of(batch);
  if (pass.features.empty()) {
    std::vector<torch::Tensor> features;
    for (int m = 0; m < modalities(); ++m) {
      features.push_back(encoded(batch, m, batch.inputs.at(static_cast<std::size_t>(m)), false));
    }
    pass.features = std::move(features);
  }
  return pass.features;
}

FusionOutput& FusedNetwork::fused(const Batch& batch) {
  Pass& pass = pass_of(batch);
  if (!pass.output.logits.defined()) {
    encode(batch);
    pass.output = fusion_.call([&](Fusion& fusion) { return fusion.forward(pass.features); });
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
    features = row.expand({batch.size(), row.size(1)});
  } else {
    features = encoded(batch, modality, encoder.absent(input), true);
  }
  return features;
}

torch::Tensor FusedNetwork::partial_logits(const Batch& batch, const std::vector<Subset>& subsets) {
  const auto count = static_cast<std::int64_t>(subsets.size());
  std::vector<torch::Tensor> stacked;
  for (int m = 0; m < modalities(); ++m) {
    std::vector<torch::Tensor> of_subsets;
    for (const Subset subset : subsets) {
      of_subsets.push_back(subset.has(m) ? evaluated(batch, m) : absent(batch, m));
    }
    stacked.push_back(count == 1 ? of_subsets.front() : at::cat(of_subsets));
  }
  counts_.fusion_batches += count;
  const auto logits = fusion_.call([&](Fusion& fusion) {
    const EvaluationScope scope(fusion, training_ && !fusion.modes_agree());
    return fusion.forward(stacked).logits;
  });
  return logits.view({count, batch.size(), outputs_});
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

std::vector<torch::Tensor> FusedNetwork::parameters() const {
  std::vector<torch::Tensor> result;
  for (const auto& role : roles_) result.push_back(role.parameter);
  return result;
}

std::vector<torch::Tensor> FusedNetwork::parameters(Role role) const {
  std::vector<torch::Tensor> result;
  for (const auto& of : roles_) {
    if (of.role == role) result.push_back(of.parameter);
  }
  return result;
}

std::vector<torch::Tensor> FusedNetwork::parameters(Role role, int modality) const {
  std::vector<torch::Tensor> result;
  for (const auto& of : roles_) {
    const auto& own = of.modalities;
    if (of.role == role && std::find(own.begin(), own.end(), modality) != own.end()) {
      result.push_back(of.parameter);
    }
  }
  return result;
}

std::vector<std::pair<std::string, torch::Tensor>> FusedNetwork::named_tensors() const {
  std::vector<std::pair<std::string, torch::Tensor>> result;
  const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
    for (const auto& item : module.named_parameters()) result.emplace_back(prefix + item.key(), item.value());
    for (const auto& item : module.named_buffers()) result.emplace_back(prefix + item.key(), item.value());
  };
  for (std::size_t m = 0; m < encoders_.size(); ++m) add("encoder." + names_[m] + ".", *encoders_[m].object);
  add("fusion.", *fusion_.object);
  return result;
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

bool channels_last(const torch::Tensor& weight) { return weight.dim() == 4; }

torch::Tensor channels_last_input(const torch::Tensor& input) {
  if (input.dim() != 4 || !input.is_cpu()) return input;
  if (input.size(1) != 1) return input.contiguous(at::MemoryFormat::ChannelsLast);
  // The strides of a single channel are ambiguous, and LibTorch would take them for channels-first: said outright,
  // at no cost.
  return input.squeeze(1).unsqueeze(3).permute({0, 3, 1, 2});
}

void FusedNetwork::place(const torch::Device& device) {
  for (auto& encoder : encoders_) encoder.object->to(device);
  fusion_.object->to(device);
  if (!device.is_cpu()) return;
  for (const auto& of : roles_) {
    torch::Tensor parameter = of.parameter;
    if (channels_last(parameter)) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
}

}  // namespace poise
