// A HostTrainer's passes over data outside the training steps.
#include <ATen/ATen.h>

#include "poise/error.h"
#include "training/generators.h"
#include "training/trainer.h"

namespace poise {
namespace {

/// A probe's shuffles are none of the training's.
constexpr std::int64_t first_probe_pass = 512;

}  // namespace

const Data& HostTrainer::data_outside_steps() const {
  if (batch_ != nullptr) throw Error("it visits data in a training step: do so between epochs.");
  if (data_ == nullptr) throw Error("there is no data to visit.");
  return *data_;
}

std::int64_t HostTrainer::samples(Split split) const {
  if (data_ == nullptr) throw Error("there is no data to count.");
  return data_->samples(split);
}

void HostTrainer::for_each_batch(Split split, const torch::Tensor& ids,
                                 const std::function<bool(const Batch&)>& see) {
  auto source = data_outside_steps().source(split);
  if (split == Split::test)
    throw Error("it asks for the test split, which trains nothing and selects nothing.");
  if (ids.defined()) source.ids = ids.cpu();
  const torch::NoGradGuard no_gradients;
  const PassCounts counts = network_.counts();
  network_.begin_evaluation();
  BatchStream stream(std::move(source));
  bool goes_on = true;
  while (goes_on) {
    const auto batch = stream.next();
    if (!batch) break;
    goes_on = see(*batch);
    extra_samples_ += batch->size();
    network_.forget();
  }
  network_.begin_step();
  network_.counts() = counts;
}

double HostTrainer::mean_loss(Split split, const std::function<torch::Tensor(const Batch&)>& loss) {
  torch::Tensor sum;
  for_each_batch(split, {}, [&](const Batch& batch) {
    const auto of_batch = loss(batch).to(at::kDouble) * static_cast<double>(batch.size());
    sum = sum.defined() ? sum + of_batch : of_batch;
    return true;
  });
  return sum.item<double>() / static_cast<double>(samples(split));
}

void HostTrainer::train_probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss) {
  HostOptimizer fresh(request_.train, network_.parameters(), [this](std::int64_t step) {
    not_finite("a gradient of a probe of the modulation is not finite", step);
  });
  fresh.set_schedule_factor(optimizer_.rate() / request_.train.optimizer.lr);
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    auto source = data_->source(Split::train);
    source.ids = data_->shuffled(position.epoch, first_probe_pass + epoch);
    BatchStream stream(std::move(source));
    while (const auto batch = stream.next()) {
      network_.begin_step();
      fresh.training_step = position.step;
      fresh.zero();
      loss(*batch).backward();
      fresh.step();
      extra_samples_ += batch->size();
      network_.forget();
    }
  }
  fresh.check_finite();
  fresh.zero();
}

Probe HostTrainer::probe(std::int64_t epochs, const std::function<torch::Tensor(const Batch&)>& loss) {
  data_outside_steps();
  const torch::Device device(request_.device);
  const auto generators = generator_states(device);
  const PassCounts counts = network_.counts();
  std::vector<torch::Tensor> before;
  for (const auto& [name, tensor] : network_.named_tensors()) before.push_back(tensor.detach().clone());

  Probe result;
  result.train_before = mean_loss(Split::train, loss);
  result.validation_before = mean_loss(Split::validation, loss);
  train_probe(epochs, loss);
  result.train_after = mean_loss(Split::train, loss);
  result.validation_after = mean_loss(Split::validation, loss);

  const torch::NoGradGuard no_gradients;
  std::size_t i = 0;
  for (auto& [name, tensor] : network_.named_tensors()) tensor.copy_(before[i++]);
  network_.counts() = counts;
  set_generator_states(device, generators);
  return result;
}

torch::Tensor HostTrainer::teacher_feature(const Batch& batch, int modality) {
  const auto m = static_cast<std::size_t>(modality);
  if (teachers.empty()) throw Error("it asks for teachers that its requirements do not name.");
  const torch::NoGradGuard no_gradients;
  const Batch alone{.ids = batch.ids,
                    .inputs = {batch.inputs.at(m)},
                    .lengths = {batch.lengths.at(m)},
                    .targets = batch.targets,
                    .weights = {}};
  return teachers.at(m)->encode(alone, 0);
}

}  // namespace poise
