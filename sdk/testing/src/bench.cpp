#include "bench.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "tensors.h"

namespace poise::reference {

using torch::Tensor;

Bench::Bench(const Design& design, std::shared_ptr<Modulation> given, std::uint64_t seed,
             std::int64_t samples)
    : network(make_network(design, seed)),
      trainer(network, design.task),
      modulation(std::move(given)),
      data(make_data(design, samples, seed + 1)) {
  torch::manual_seed(seed + 2);
}

void Bench::step(const Batch& batch) {
  network.begin_step();
  modulation->step(batch, trainer);
  network.forget();
  trainer.current_step += 1;
}

void Bench::train() {
  if (passes_ == 0) {
    modulation->begin_epoch(trainer);
    passes_ = modulation->passes(trainer);
  }
  if (next_ == 0) batches_ = planned();
  step(batches_.at(next_));
  if (++next_ < batches_.size()) return;
  next_ = 0;
  if (++pass_ < passes_) return;
  modulation->end_epoch(trainer);
  network.forget();
  pass_ = passes_ = 0;
  trainer.current_epoch += 1;
}

std::vector<Batch> Bench::planned() {
  auto plan = modulation->plan(trainer);
  network.forget();
  if (!plan) plan = Plan{at::arange(data.size(), at::kLong), {}, {}};
  const std::int64_t count = plan->ids.size(0);
  const std::int64_t rows = std::max<std::int64_t>(data.size() / 2, 2);
  std::vector<Batch> batches;
  for (std::int64_t first = 0; first < count;) {
    // BatchNorm cannot train on a single row.
    const std::int64_t last = count - first <= rows + 1 ? count : first + rows;
    Batch batch = take(data, plan->ids.slice(0, first, last));
    if (plan->present.defined()) batch = network.masked(batch, plan->present.slice(0, first, last));
    if (plan->weights.defined()) batch.weights = plan->weights.slice(0, first, last);
    batches.push_back(batch);
    first = last;
  }
  return batches;
}

Bench::Saved Bench::save() {
  Saved saved;
  modulation->visit(saved.modulation);
  for (const auto& [name, tensor] : network.named_tensors()) saved.tensors.push_back(tensor.detach().clone());
  for (const auto& each : trainer.optimizer().momentum) {
    saved.momentum.push_back(each.defined() ? each.clone() : Tensor());
  }
  saved.generator = conformance::generator_state();
  saved.batches = batches_;
  saved.next = next_;
  saved.pass = pass_;
  saved.passes = passes_;
  saved.epoch = trainer.current_epoch;
  saved.step = trainer.current_step;
  return saved;
}

void Bench::resume(Saved saved) {
  batches_ = saved.batches;
  next_ = saved.next;
  pass_ = saved.pass;
  passes_ = saved.passes;
  trainer.current_epoch = saved.epoch;
  trainer.current_step = saved.step;
  saved.modulation.mode = Checkpoint::Mode::restore_scalars;
  modulation->visit(saved.modulation);
  begin();
  {
    const at::NoGradGuard no_grad;
    std::size_t i = 0;
    for (auto& [name, tensor] : network.named_tensors()) tensor.copy_(saved.tensors.at(i++));
  }
  trainer.optimizer().momentum = saved.momentum;
  saved.modulation.mode = Checkpoint::Mode::restore_tensors;
  modulation->visit(saved.modulation);
  conformance::set_generator_state(saved.generator);
}

void Bench::copy_weights(const Bench& other) {
  const at::NoGradGuard no_grad;
  const auto theirs = other.network.named_tensors();
  std::size_t i = 0;
  for (auto& [name, tensor] : network.named_tensors()) tensor.copy_(theirs.at(i++).second);
}

std::string Bench::differs_from(const Bench& other) const {
  const auto ours = network.named_tensors();
  const auto theirs = other.network.named_tensors();
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const auto& [name, tensor] = ours[i];
    const Tensor& their_tensor = theirs.at(i).second;
    if (!conformance::same_bits(tensor.grad(), their_tensor.grad())) return "the gradient of " + name;
    if (!conformance::same_bits(tensor, their_tensor)) return name;
  }
  return "";
}

std::string Bench::not_finite() const {
  for (const auto& [name, tensor] : network.named_tensors()) {
    if (!conformance::is_finite(tensor.grad())) return "the gradient of " + name;
    if (!conformance::is_finite(tensor)) return name;
  }
  return "";
}

}  // namespace poise::reference
