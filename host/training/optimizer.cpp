#include "training/optimizer.h"

#include <cmath>
#include <numbers>
#include <sstream>

#include <ATen/ATen.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>

#include "poise/error.h"

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

HostOptimizer::HostOptimizer(const TrainSettings& settings, std::vector<torch::Tensor> parameters,
                             std::function<void(std::int64_t)> not_finite)
    : parameters_(std::move(parameters)),
      optimizer_(make(settings.optimizer, parameters_)),
      not_finite_(std::move(not_finite)),
      clip_(settings.clip),
      base_rate_(settings.optimizer.lr),
      rate_(base_rate_) {}

HostOptimizer::~HostOptimizer() = default;

void HostOptimizer::zero() { optimizer_->zero_grad(true); }

void HostOptimizer::step() {
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters_) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (!gradients.empty()) {
    // A sum of norms is finite when, and only when, every entry is (short of an overflow, which is as bad).
    const at::Tensor finite = at::isfinite(at::stack(at::_foreach_norm(gradients)).sum());
    if (finite.is_cpu()) {
      if (!finite.item<bool>()) not_finite_(updates_);
    } else {
      if (!first_bad_.defined()) first_bad_ = at::full({}, -1, finite.options().dtype(at::kLong));
      first_bad_ = at::where(first_bad_.ge(0).logical_or(finite), first_bad_, updates_);
    }
  }
  if (clip_ > 0) clip_gradients(parameters_, clip_);
  optimizer_->step();
  ++updates_;
}

void HostOptimizer::check_finite() {
  if (!first_bad_.defined()) return;
  if (const auto step = first_bad_.item<std::int64_t>(); step >= 0) not_finite_(step);
}

void HostOptimizer::set_rate_factor(double factor) {
  rate_ = base_rate_ * factor;
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(rate_);
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

void HostOptimizer::restore(const torch::Tensor& saved, std::int64_t updates) {
  updates_ = updates;
  std::istringstream stream(std::string(reinterpret_cast<const char*>(saved.data_ptr<std::uint8_t>()),
                                        static_cast<std::size_t>(saved.numel())));
  torch::serialize::InputArchive archive;
  archive.load_from(stream, parameters_.front().device());
  optimizer_->load(archive);
}

}  // namespace poise
