#pragma once

#include <vector>

#include <torch/types.h>

namespace poise {

/// The states of the default generators that a run on `device` draws from: the CPU's, then the device's own.
std::vector<torch::Tensor> generator_states(const torch::Device& device);
void set_generator_states(const torch::Device& device, const std::vector<torch::Tensor>& states);

}  // namespace poise
