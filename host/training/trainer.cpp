#include "training/trainer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "poise/error.h"
#include "training/clock.h"
#include "training/objective.h"

namespace poise {
namespace {

bool all_finite(const torch::Tensor& tensor) {
  return !tensor.defined() || !tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>();
}

/// Where the first value that is not finite stands, from the input to the gradients: "the input of 'audio'".
std::string culprit(const FusedNetwork& network, const Batch& batch) {
  const auto& features = network.training_features();
  for (int m = 0; m < network.modalities(); ++m) {
    if (!all_finite(batch.inputs[static_cast<std::size_t>(m)])) {
      return "the input of '" + network.modality_name(m) + "' is the first that is not finite; mend the data";
    }
  }
  for (int m = 0; m < network.modalities(); ++m) {
    const std::string advice = "; lower train.optimizer.lr or set train.clip";
    if (!features.empty() && !all_finite(features[static_cast<std::size_t>(m)])) {
      return "the features of '" + network.modality_name(m) + "' are not finite" + advice;
    }
    for (const auto& parameter : network.parameters(Role::encoder, m)) {
      if (!all_finite(parameter.grad())) {
        return "a gradient of the encoder of '" + network.modality_name(m) + "' is not finite" + advice;
      }
    }
  }
  return "every modality's features are finite, the fusion's values are not; lower train.optimizer.lr or set "
         "train.clip";
}

}  // namespace

HostTrainer::HostTrainer(FusedNetwork& network, Loaded<Modulation> modulation, const RunRequest& request,
                         const Data* data)
    : network_(network),
      modulation_(std::move(modulation)),
      objective_(make_objective(network.task())),
      request_(request),
      data_(data),
      optimizer_(request.train, network.parameters(),
                 [this](std::int64_t step) { not_finite("a gradient is not finite", step); }) {
  if (data != nullptr) position.batches = data->epoch_steps();
}

void HostTrainer::not_finite(const std::string& what, std::int64_t step) {
  throw Error(what + " in epoch " + std::to_string(position.epoch + 1) + ", step " +
              std::to_string(step + 1) + (batch_ != nullptr ? ": " + culprit(network_, *batch_) : "") + ".");
}

void HostTrainer::backward(const torch::Tensor& loss) {
  if (loss.is_cpu() && !all_finite(loss)) {
    not_finite("the loss is " + std::string(loss.isnan().item<bool>() ? "nan" : "infinite"), position.step);
  }
  optimizer_.zero();
  {
    const Stopwatch watch(backward_seconds_);
    loss.backward();
  }
  backward_passes_ += 1;
  records_.add(train_loss_record, loss, static_cast<double>(batch_->size()));
}

std::vector<torch::Tensor> HostTrainer::gradients(const torch::Tensor& loss,
                                                  const std::vector<torch::Tensor>& parameters) {
  backward_passes_ += 1;
  const Stopwatch watch(backward_seconds_);
  auto result = torch::autograd::grad({loss}, parameters, {}, /*retain_graph=*/true, /*create_graph=*/false,
                                      /*allow_unused=*/true);
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (!result[i].defined()) result[i] = at::zeros_like(parameters[i]);
  }
  return result;
}

void HostTrainer::record(const std::string& name, const torch::Tensor& value) { records_.add(name, value); }

double HostTrainer::model_seconds() {
  double seconds = network_.counts().seconds + backward_seconds_ + optimizer_.seconds();
  for (const auto& teacher : teachers) seconds += teacher->counts().seconds;
  return seconds;
}

void HostTrainer::train_step(const Batch& batch) {
  network_.begin_step();
  optimizer_.training_step = position.step;
  batch_ = &batch;
  const double before = model_seconds();
  const double begun = now();
  modulation_.call([&](Modulation& modulation) { modulation.step(batch, *this); });
  method_seconds_ += (now() - begun) - (model_seconds() - before);
  const auto& logits = network_.training_logits();
  if (logits.defined() && network_.task().kind != TaskKind::regression) {
    const auto correct = objective_->correct(logits.detach(), batch.targets);
    records_.add(train_accuracy_record, correct.to(at::kFloat).mean(), static_cast<double>(batch.size()));
  }
  batch_ = nullptr;
  network_.forget();
}

void HostTrainer::add_module(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                             const std::vector<int>& modalities) {
  network_.add(name, module, modalities);
  optimizer_.add(module->parameters());
}

void HostTrainer::snapshot(const std::string& name) {
  Snapshot& kept = snapshots_[name];
  kept.tensors.clear();
  for (const auto& [key, tensor] : network_.named_tensors()) kept.tensors[key] = tensor.detach().clone();
  kept.optimizer = optimizer_.saved();
}

void HostTrainer::restore(const std::string& name) {
  const auto kept = snapshots_.find(name);
  if (kept == snapshots_.end()) throw Error("it restores the snapshot '" + name + "', which it never kept.");
  const torch::NoGradGuard no_gradients;
  auto now = network_.named_tensors();
  if (now.size() != kept->second.tensors.size()) {
    throw Error("it has added modules since the snapshot '" + name + "', and cannot restore it.");
  }
  for (auto& [key, tensor] : now) tensor.copy_(kept->second.tensors.at(key));
  optimizer_.restore(kept->second.optimizer);
}

}  // namespace poise
