#include "training/trainer.h"

#include <ATen/ATen.h>

#include "poise/error.h"
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

HostTrainer::HostTrainer(FusedNetwork& network, Loaded<Modulation> modulation, const TrainSettings& settings)
    : network_(network),
      modulation_(std::move(modulation)),
      objective_(make_objective(network.task())),
      epochs_(settings.epochs),
      optimizer_(settings, network.parameters(),
                 [this](std::int64_t step) { not_finite("a gradient is not finite", step); }) {}

void HostTrainer::not_finite(const std::string& what, std::int64_t step) {
  throw Error(what + " in epoch " + std::to_string(position.epoch + 1) + ", step " +
              std::to_string(step + 1) + (batch_ != nullptr ? ": " + culprit(network_, *batch_) : "") + ".");
}

void HostTrainer::backward(const torch::Tensor& loss) {
  if (loss.is_cpu() && !all_finite(loss)) {
    not_finite("the loss is " + std::string(loss.isnan().item<bool>() ? "nan" : "infinite"), position.step);
  }
  optimizer_.zero();
  loss.backward();
  backward_passes_ += 1;
  records_.add(train_loss_record, loss, static_cast<double>(batch_->size()));
}

void HostTrainer::record(const std::string& name, const torch::Tensor& value) { records_.add(name, value); }

void HostTrainer::train_step(const Batch& batch) {
  network_.begin_step();
  batch_ = &batch;
  modulation_.call([&](Modulation& modulation) { modulation.step(batch, *this); });
  const auto& logits = network_.training_logits();
  if (logits.defined() && network_.task().kind != TaskKind::regression) {
    const auto correct = objective_->correct(logits.detach(), batch.targets);
    records_.add(train_accuracy_record, correct.to(at::kFloat).mean(), static_cast<double>(batch.size()));
  }
  batch_ = nullptr;
  network_.forget();
}

}  // namespace poise
