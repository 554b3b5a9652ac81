#include "bench.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "tensors.h"

namespace poise::reference {

using torch::Tensor;

namespace {

/// The first and the last (not included) of `count` samples in batches of half of `all`. None is of a single row, on which
/// BatchNorm cannot train.
std::vector<std::pair<std::int64_t, std::int64_t>> batch_bounds(std::int64_t count, std::int64_t all) {
  const std::int64_t rows = std::max<std::int64_t>(all / 2, 2);
  std::vector<std::pair<std::int64_t, std::int64_t>> bounds;
  for (std::int64_t first = 0; first < count;) {
    const std::int64_t last = count - first <= rows + 1 ? count : first + rows;
    bounds.emplace_back(first, last);
    first = last;
  }
  return bounds;
}

}  // namespace

Bench::Bench(const Design& design, std::shared_ptr<Modulation> given, std::uint64_t seed,
             std::int64_t samples)
    : network(make_network(design, seed)), trainer(network, design.task), modulation(std::move(given)) {
  trainer.train_data = make_data(design, samples, seed + 1);
  trainer.validation_data = make_data(design, samples, seed + 3);
  if (modulation->requirements(design.modalities).teachers) {
    trainer.teachers = std::make_shared<Network>(make_network(design, seed + 4));
  }
  torch::manual_seed(seed + 2);
}

std::int64_t Bench::plain_batches() const {
  const std::int64_t all = trainer.train_data.size();
  return static_cast<std::int64_t>(batch_bounds(all, all).size());
}

void Bench::begin() {
  trainer.pass_batches = plain_batches();
  modulation->begin(trainer);
  network.forget();
}

void Bench::step(const Batch& batch) {
  network.begin_step();
  trainer.backward_passes = 0;
  trainer.in_step = true;
  modulation->step(batch, trainer);
  trainer.in_step = false;
  subsets_asked = network.subsets_asked();
  backward_passes = trainer.backward_passes;
  network.forget();
  trainer.current_step += 1;
}

void Bench::train() {
  if (passes_ == 0) {
    if (trainer.stopped) return;
    modulation->begin_epoch(trainer);
    network.forget();
    passes_ = modulation->passes(trainer);
  }
  if (trainer.current_batch == 0) {
    batches_ = planned();
    trainer.pass_batches = static_cast<std::int64_t>(batches_.size());
  }
  step(batches_.at(static_cast<std::size_t>(trainer.current_batch)));
  if (++trainer.current_batch < trainer.pass_batches) return;
  if (++pass_ < passes_) {
    trainer.current_batch = 0;
    return;
  }
  modulation->end_epoch(trainer);
  network.forget();
  pass_ = passes_ = trainer.current_batch = 0;
  trainer.pass_batches = plain_batches();
  trainer.current_epoch += 1;
}

std::vector<Batch> Bench::planned() {
  const Batch& data = trainer.train_data;
  auto plan = modulation->plan(trainer);
  network.forget();
  if (!plan) plan = Plan{at::arange(data.size(), at::kLong), {}, {}};
  std::vector<Batch> batches;
  for (const auto& [first, last] : batch_bounds(plan->ids.size(0), data.size())) {
    Batch batch = take(data, plan->ids.slice(0, first, last));
    if (plan->present.defined()) batch = network.masked(batch, plan->present.slice(0, first, last));
    if (plan->weights.defined()) batch.weights = plan->weights.slice(0, first, last);
    batches.push_back(batch);
  }
  return batches;
}

Bench::Saved Bench::save() {
  Saved saved;
  modulation->visit(saved.modulation);
  saved.model = trainer.taken();
  saved.parts = trainer.optimizer().parts;
  saved.snapshots = trainer.snapshots;
  saved.stopped = trainer.stopped;
  saved.generator = conformance::generator_state();
  saved.batches = batches_;
  saved.batch = trainer.current_batch;
  saved.pass_batches = trainer.pass_batches;
  saved.pass = pass_;
  saved.passes = passes_;
  saved.epoch = trainer.current_epoch;
  saved.step = trainer.current_step;
  return saved;
}

void Bench::resume(Saved saved) {
  batches_ = saved.batches;
  pass_ = saved.pass;
  passes_ = saved.passes;
  trainer.current_batch = saved.batch;
  trainer.pass_batches = saved.pass_batches;
  trainer.current_epoch = saved.epoch;
  trainer.current_step = saved.step;
  trainer.stopped = saved.stopped;
  saved.modulation.mode = Checkpoint::Mode::restore_scalars;
  modulation->visit(saved.modulation);
  modulation->begin(trainer);
  network.forget();
  trainer.put_back(saved.model);
  auto& parts = trainer.optimizer().parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].factor = saved.parts.at(i).factor;
    parts[i].frozen = saved.parts[i].frozen;
  }
  trainer.snapshots = saved.snapshots;
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
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    if (i >= ours.size()) return theirs[i].first;
    const auto& [name, tensor] = ours[i];
    const Tensor& their_tensor = theirs[i].second;
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
