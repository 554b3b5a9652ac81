#include "poise/reference_trainer.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "poise/error.h"
#include "small_models.h"
#include "tensors.h"

namespace poise::reference {

using torch::Tensor;

Tensor Objective::loss(const Tensor& logits, const Batch& batch) const {
  const auto each = losses(logits, batch.targets);
  return batch.weights.defined() ? (each * batch.weights).mean() : each.mean();
}

Tensor Objective::losses(const Tensor& logits, const Tensor& targets) const {
  switch (kind_) {
    case TaskKind::classification:
      return -at::log_softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
    case TaskKind::multi_label:
      return -(targets * at::log_sigmoid(logits) + (1 - targets) * at::log_sigmoid(-logits)).mean(-1);
    case TaskKind::regression: break;
  }
  return (logits - targets).square().mean(-1);
}

Tensor Objective::score(const Tensor& logits, const Tensor& targets) const {
  switch (kind_) {
    case TaskKind::classification:
      return at::softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
    case TaskKind::multi_label: {
      const auto p = at::sigmoid(logits);
      return (targets * p + (1 - targets) * (1 - p)).mean(-1);
    }
    case TaskKind::regression: break;
  }
  return (-losses(logits, targets)).exp();
}

Tensor Objective::correct(const Tensor& logits, const Tensor& targets) const {
  switch (kind_) {
    case TaskKind::classification: return logits.argmax(-1).eq(targets);
    case TaskKind::multi_label: return logits.gt(0).eq(targets.gt(0.5));
    case TaskKind::regression: break;
  }
  return (logits - targets).abs().lt(0.5);
}

Optimizer::Part& Optimizer::part_of(const Tensor& parameter) {
  for (auto& part : parts) {
    if (part.parameter.is_same(parameter)) return part;
  }
  throw Error("the optimizer does not update such a parameter.");
}

void Optimizer::add(const std::vector<Tensor>& parameters) {
  for (const auto& parameter : parameters) {
    parts.push_back({.parameter = parameter, .momentum = {}, .factor = 1, .frozen = false});
  }
}

void Optimizer::zero() {
  for (auto& part : parts) part.parameter.mutable_grad() = Tensor();
}

void Optimizer::update(Part& part) {
  const at::NoGradGuard no_grad;
  const Tensor gradient = part.parameter.grad();
  if (!gradient.defined() || part.frozen) return;
  part.momentum = part.momentum.defined() ? part.momentum * 0.9 + gradient : gradient.clone();
  part.parameter.sub_(part.momentum * (0.05 * part.factor));
}

void Optimizer::step() {
  for (auto& part : parts) {
    if (!stands_still) update(part);
  }
}

void Optimizer::step(const std::vector<Tensor>& parameters) {
  for (const auto& parameter : parameters) {
    Part& part = part_of(parameter);
    if (!stands_still) update(part);
  }
}

void Optimizer::set_rate_factor(const std::vector<Tensor>& parameters, double factor) {
  for (const auto& parameter : parameters) part_of(parameter).factor = factor;
}

void Optimizer::freeze(const std::vector<Tensor>& parameters) {
  for (const auto& parameter : parameters) part_of(parameter).frozen = true;
}

void Optimizer::forget(const std::vector<Tensor>& parameters) {
  for (const auto& parameter : parameters) part_of(parameter).momentum = Tensor();
}

void Trainer::backward(const Tensor& loss) {
  backward_passes += 1;
  optimizer_.zero();
  loss.backward();
}

std::vector<Tensor> Trainer::gradients(const Tensor& loss, const std::vector<Tensor>& parameters) {
  backward_passes += 1;
  auto result = torch::autograd::grad({loss}, parameters, {}, true, false, true);
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (!result[i].defined()) result[i] = at::zeros_like(parameters[i]);
  }
  return result;
}

void Trainer::record(const std::string& name, const Tensor& value) {
  recorded[name] = value.detach().clone();
}

void Trainer::add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                         const std::vector<int>& modalities) {
  network_.add(name, module, modalities);
  optimizer_.add(module->parameters());
}

const Batch& Trainer::data_of(Split split) const {
  if (split == Split::test)
    throw Error("it asks for the test split, which trains nothing and selects nothing.");
  return split == Split::train ? train_data : validation_data;
}

void Trainer::refuse_in_step() const {
  if (in_step) throw Error("it visits data in a training step: do so between epochs.");
}

void Trainer::for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) {
  refuse_in_step();
  const Batch& data = data_of(split);
  const Tensor wanted = ids.defined() ? ids : at::arange(data.size(), at::kLong);
  const at::NoGradGuard no_grad;
  network_.begin_evaluation();
  for (const auto& part : wanted.chunk(2)) {
    if (part.size(0) == 0) break;
    const bool goes_on = see(take(data, part));
    extra_samples += part.size(0);
    network_.forget();
    if (!goes_on) break;
  }
  network_.begin_step();
}

double Trainer::mean_loss(Split split, const std::function<Tensor(const Batch&)>& loss) {
  double sum = 0;
  for_each_batch(split, {}, [&](const Batch& batch) {
    sum += loss(batch).item<double>() * static_cast<double>(batch.size());
    return true;
  });
  return sum / static_cast<double>(samples(split));
}

Probe Trainer::probe(std::int64_t epochs, const std::function<Tensor(const Batch&)>& loss) {
  refuse_in_step();
  const Snapshot before = taken();
  const auto generator = conformance::generator_state();
  Probe probe;
  probe.train_before = mean_loss(Split::train, loss);
  probe.validation_before = mean_loss(Split::validation, loss);
  Optimizer fresh(network_.parameters());
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    network_.begin_step();
    fresh.zero();
    loss(train_data).backward();
    fresh.step();
    network_.forget();
  }
  fresh.zero();
  probe.train_after = mean_loss(Split::train, loss);
  probe.validation_after = mean_loss(Split::validation, loss);
  put_back(before);
  conformance::set_generator_state(generator);
  return probe;
}

Tensor Trainer::teacher_feature(const Batch& batch, int modality) {
  if (teachers == nullptr) throw Error("it asks for teachers that its requirements do not name.");
  const at::NoGradGuard no_grad;
  teachers->begin_evaluation();
  return teachers->encode(batch, modality);
}

Snapshot Trainer::taken() const {
  Snapshot snapshot;
  for (const auto& [name, tensor] : network_.named_tensors()) {
    snapshot.tensors.emplace_back(name, tensor.detach().clone());
  }
  for (const auto& part : optimizer_.parts) {
    snapshot.momentum.push_back(part.momentum.defined() ? part.momentum.clone() : Tensor());
  }
  return snapshot;
}

void Trainer::put_back(const Snapshot& snapshot) {
  auto now = network_.named_tensors();
  const bool same_names = std::equal(now.begin(), now.end(), snapshot.tensors.begin(), snapshot.tensors.end(),
                                     [](const auto& a, const auto& b) { return a.first == b.first; });
  if (!same_names) {
    throw Error(
        "the network has other modules than what is put back: after a resume begin() must add the same "
        "again, and none may be added between a snapshot and its restoring.");
  }
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < now.size(); ++i) now[i].second.copy_(snapshot.tensors[i].second);
  for (std::size_t i = 0; i < optimizer_.parts.size(); ++i) {
    const Tensor& momentum = snapshot.momentum.at(i);
    optimizer_.parts[i].momentum = momentum.defined() ? momentum.clone() : Tensor();
  }
}

void Trainer::restore(const std::string& name) {
  const auto kept = snapshots.find(name);
  if (kept == snapshots.end()) throw Error("it restores the snapshot '" + name + "', which it never kept.");
  put_back(kept->second);
}

}  // namespace poise::reference
