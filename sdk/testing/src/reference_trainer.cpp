#include "reference_trainer.h"

#include <ATen/ATen.h>

#include "poise/error.h"

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

Optimizer::Optimizer(std::vector<Tensor> parameters)
    : momentum(parameters.size()), parameters_(std::move(parameters)) {}

void Optimizer::zero() {
  for (auto& parameter : parameters_) parameter.mutable_grad() = Tensor();
}

void Optimizer::step() {
  if (frozen) return;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor gradient = parameters_[i].grad();
    if (!gradient.defined()) continue;
    momentum[i] = momentum[i].defined() ? momentum[i] * 0.9 + gradient : gradient.clone();
    parameters_[i].sub_(momentum[i] * 0.05);
  }
}

void Trainer::backward(const Tensor& loss) {
  optimizer_.zero();
  loss.backward();
}

void Trainer::record(const std::string& name, const Tensor& value) {
  recorded[name] = value.detach().clone();
}

namespace {

/// Stores the value, or gives it back where that is due now.
template <class Value>
void exchange(std::map<std::string, Value>& kept, const std::string& name, Value& value, bool saving,
              bool due) {
  if (saving) {
    if (!kept.emplace(name, value).second) throw Error("visit() names '" + name + "' twice.");
  } else if (due) {
    const auto found = kept.find(name);
    if (found == kept.end()) throw Error("the checkpoint lacks '" + name + "'.");
    value = found->second;
  }
}

}  // namespace

void Checkpoint::scalar(const std::string& name, double& value) {
  exchange(numbers, name, value, mode == Mode::save, mode == Mode::restore_scalars);
}

void Checkpoint::scalar(const std::string& name, std::int64_t& value) {
  exchange(integers, name, value, mode == Mode::save, mode == Mode::restore_scalars);
}

void Checkpoint::tensor(const std::string& name, Tensor& value) {
  exchange(tensors, name, value, mode == Mode::save, mode == Mode::restore_tensors);
  // Neither side may write into the other's.
  Tensor& own = mode == Mode::save ? tensors[name] : value;
  if (mode != Mode::restore_scalars && own.defined()) own = own.detach().clone();
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> result;
  for (const auto& [name, value] : numbers) result.push_back(name);
  for (const auto& [name, value] : integers) result.push_back(name);
  for (const auto& [name, value] : tensors) result.push_back(name);
  return result;
}

void Checkpoint::remove(const std::string& name) {
  numbers.erase(name);
  integers.erase(name);
  tensors.erase(name);
}

}  // namespace poise::reference
