// A FusedNetwork's parameters: by role and modality, by name, on their device.
#include <algorithm>

#include "poise/error.h"
#include "training/layout.h"
#include "training/network.h"

namespace poise {

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
  for (const auto& [name, module] : own_) add("own." + name + ".", *module);
  return result;
}

void FusedNetwork::add(const std::string& name, const std::shared_ptr<torch::nn::Module>& module,
                       const std::vector<int>& modalities) {
  const bool taken =
      std::any_of(own_.begin(), own_.end(), [&](const auto& own) { return own.first == name; });
  if (taken) throw Error("it adds a module '" + name + "' twice.");
  module->to(device_);
  module->train(training_);
  own_.emplace_back(name, module);
  for (const auto& parameter : module->parameters()) roles_.push_back({parameter, Role::own, modalities});
}

void FusedNetwork::place(const torch::Device& device) {
  device_ = device;
  for (auto& encoder : encoders_) encoder.object->to(device);
  fusion_.object->to(device);
  if (!device.is_cpu()) return;
  for (const auto& of : roles_) {
    torch::Tensor parameter = of.parameter;
    if (channels_last(parameter)) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
}

}  // namespace poise
