#include "training/generators.h"

#include <mutex>

#include <ATen/ATen.h>

namespace poise {
namespace {

std::vector<at::Generator> generators(const torch::Device& device) {
  std::vector<at::Generator> result{at::globalContext().defaultGenerator(at::kCPU)};
  if (device.is_cuda()) result.push_back(at::globalContext().defaultGenerator(device));
  return result;
}

}  // namespace

std::vector<torch::Tensor> generator_states(const torch::Device& device) {
  std::vector<torch::Tensor> states;
  for (auto& generator : generators(device)) {
    const std::scoped_lock lock(generator.mutex());
    states.push_back(generator.get_state());
  }
  return states;
}

void set_generator_states(const torch::Device& device, const std::vector<torch::Tensor>& states) {
  std::size_t i = 0;
  for (auto& generator : generators(device)) {
    const std::scoped_lock lock(generator.mutex());
    generator.set_state(states.at(i++));
  }
}

}  // namespace poise
