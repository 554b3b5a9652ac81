#include "training/optimizer.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <sstream>

#include <ATen/ATen.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>

#include "poise/error.h"
#include "training/clock.h"

namespace poise {
namespace {

std::unique_ptr<torch::optim::Optimizer> make(const TrainSettings::Optimizer& o,
                                              const std::vector<torch::Tensor>& parameters) {
  if (o.name == "adam") {
    return std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(o.lr)
                                                                .betas({o.beta1, o.beta2})
                                                                .eps(o.epsilon)
                                                                .weight_decay(o.weight_decay));
  }
  if (o.name == "adamw") {
    return std::make_unique<torch::optim::AdamW>(parameters, torch::optim::AdamWOptions(o.lr)
                                                                 .betas({o.beta1, o.beta2})
                                                                 .eps(o.epsilon)
                                                                 .weight_decay(o.weight_decay));
  }
  return std::make_unique<torch::optim::SGD>(
      parameters,
      torch::optim::SGDOptions(o.lr).momentum(o.momentum).nesterov(o.nesterov).weight_decay(o.weight_decay));
}

}  // namespace

double schedule_factor(const TrainSettings::Schedule& schedule, std::int64_t step,
                       std::int64_t steps_per_epoch, std::int64_t epochs) {
  const std::int64_t warmup = schedule.warmup_epochs * steps_per_epoch;
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (schedule.name == "step") {
    const std::int64_t drops = step / steps_per_epoch / schedule.step_epochs;
    return std::pow(schedule.factor, static_cast<double>(drops));
  }
  if (schedule.name == "cosine") {
    const auto total = static_cast<double>(epochs * steps_per_epoch - warmup);
    return (1 + std::cos(std::numbers::pi * static_cast<double>(step - warmup) / total)) / 2;
  }
  return 1;
}

HostOptimizer::HostOptimizer(const TrainSettings& settings, const std::vector<torch::Tensor>& parameters,
                             std::function<void(std::int64_t)> not_finite)
    : settings_(settings.optimizer),
      not_finite_(std::move(not_finite)),
      clip_(settings.clip),
      rate_(settings_.lr) {
  add(parameters);
}

HostOptimizer::~HostOptimizer() = default;

void HostOptimizer::add(const std::vector<torch::Tensor>& parameters) {
  for (const auto& parameter : parameters) {
    // A group for each, so that each has a rate of its own.
    if (optimizer_) {
      optimizer_->add_param_group(torch::optim::OptimizerParamGroup({parameter}));
    } else {
      optimizer_ = make(settings_, {parameter});
    }
    places_[parameter.unsafeGetTensorImpl()] = parts_.size();
    parts_.push_back({.parameter = parameter, .factor = 1, .frozen = false});
  }
  set_rates();
}

std::vector<std::size_t> HostOptimizer::find(const std::vector<torch::Tensor>& parameters) const {
  std::vector<std::size_t> found;
  for (const auto& parameter : parameters) {
    const auto place = places_.find(parameter.unsafeGetTensorImpl());
    if (place == places_.end()) {
      throw Error(
          "the optimizer does not update such a parameter: take it from the network, or add its module "
          "first.");
    }
    found.push_back(place->second);
  }
  return found;
}

void HostOptimizer::zero() {
  const Stopwatch watch(seconds_);
  for (auto& part : parts_) part.parameter.mutable_grad() = torch::Tensor();
}

void HostOptimizer::step() {
  std::vector<std::size_t> all(parts_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  update(all);
}

void HostOptimizer::step(const std::vector<torch::Tensor>& parameters) { update(find(parameters)); }

void HostOptimizer::update(const std::vector<std::size_t>& chosen) {
  const Stopwatch watch(seconds_);
  std::vector<torch::Tensor> with_gradient;
  std::vector<bool> moves(parts_.size());
  for (const auto i : chosen) {
    moves[i] = !parts_[i].frozen;
    if (moves[i] && parts_[i].parameter.grad().defined()) with_gradient.push_back(parts_[i].parameter);
  }
  check(with_gradient);
  if (clip_ > 0) clip_gradients(with_gradient, clip_);
  // LibTorch passes over what has no gradient: those that stay lend theirs out of sight.
  std::vector<torch::Tensor> hidden(parts_.size());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (!moves[i]) std::swap(hidden[i], parts_[i].parameter.mutable_grad());
  }
  optimizer_->step();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (!moves[i]) std::swap(hidden[i], parts_[i].parameter.mutable_grad());
  }
}

void HostOptimizer::check(const std::vector<torch::Tensor>& parameters) {
  if (parameters.empty()) return;
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const auto& parameter : parameters) gradients.push_back(parameter.grad());
  // A sum of norms is finite when, and only when, every entry is (short of an overflow, which is as bad).
  const at::Tensor finite = at::isfinite(at::stack(at::_foreach_norm(gradients)).sum());
  if (finite.is_cpu()) {
    if (!finite.item<bool>()) not_finite_(training_step);
  } else {
    if (!first_bad_.defined()) first_bad_ = at::full({}, -1, finite.options().dtype(at::kLong));
    first_bad_ = at::where(first_bad_.ge(0).logical_or(finite), first_bad_, training_step);
  }
}

void HostOptimizer::check_finite() {
  if (!first_bad_.defined()) return;
  if (const auto step = first_bad_.item<std::int64_t>(); step >= 0) not_finite_(step);
}

void HostOptimizer::set_schedule_factor(double factor) {
  rate_ = settings_.lr * factor;
  set_rates();
}

void HostOptimizer::set_rates() {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    optimizer_->param_groups()[i].options().set_lr(rate_ * parts_[i].factor);
  }
}

void HostOptimizer::set_rate_factor(const std::vector<torch::Tensor>& parameters, double factor) {
  for (const auto i : find(parameters)) parts_[i].factor = factor;
  set_rates();
}

void HostOptimizer::freeze(const std::vector<torch::Tensor>& parameters) {
  for (const auto i : find(parameters)) parts_[i].frozen = true;
}

void HostOptimizer::forget(const std::vector<torch::Tensor>& parameters) {
  for (const auto i : find(parameters)) {
    optimizer_->state().erase(parts_[i].parameter.unsafeGetTensorImpl());
  }
}

nlohmann::json HostOptimizer::saved_parts() const {
  auto result = nlohmann::json::array();
  for (const auto& part : parts_) result.push_back({part.factor, part.frozen});
  return result;
}

void HostOptimizer::restore_parts(const nlohmann::json& saved) {
  if (saved.size() != parts_.size()) {
    throw Error("the checkpoint's optimizer has " + std::to_string(saved.size()) +
                " parameters, and this one " + std::to_string(parts_.size()) + ".");
  }
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    saved[i].at(0).get_to(parts_[i].factor);
    saved[i].at(1).get_to(parts_[i].frozen);
  }
}

torch::Tensor HostOptimizer::saved() const {
  torch::serialize::OutputArchive archive;
  optimizer_->save(archive);
  std::ostringstream stream;
  archive.save_to(stream);
  const std::string bytes = std::move(stream).str();
  return at::tensor(
      at::ArrayRef<std::uint8_t>(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
}

void HostOptimizer::restore(const torch::Tensor& saved) {
  std::istringstream stream(std::string(reinterpret_cast<const char*>(saved.data_ptr<std::uint8_t>()),
                                        static_cast<std::size_t>(saved.numel())));
  torch::serialize::InputArchive archive;
  archive.load_from(stream, parts_.front().parameter.device());
  optimizer_->load(archive);
  set_rates();
}

}  // namespace poise
