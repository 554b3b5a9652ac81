#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

#include "poise/same_bits.h"

/// What the checks ask of tensors, all on the CPU.
namespace poise::conformance {

using Tensors = std::vector<torch::Tensor>;

using testing::same_bits;
bool same_bits(const Tensors& a, const Tensors& b);
bool has_shape(const torch::Tensor& tensor, const std::vector<std::int64_t>& shape);
/// The largest difference, relative to the largest entry of `expected` and at least to `floor`; infinite for another
/// shape.
double difference(const torch::Tensor& actual, const torch::Tensor& expected, double floor = 1e-30);
/// True of what is undefined or no floating-point number, too.
bool is_finite(const torch::Tensor& tensor);

Tensors clones(const Tensors& tensors);
/// Parameters, then buffers.
Tensors tensors_of(const torch::nn::Module& module);
/// Moves every parameter a little, so that nothing rests on zeros at the start.
void perturb(torch::nn::Module& module);
/// The first trained parameter whose gradient is missing, zero or not finite, as a sentence; empty when there is none.
std::string gradient_fault(const torch::nn::Module& module);

/// Of the default generator.
torch::Tensor generator_state();
void set_generator_state(const torch::Tensor& state);

}  // namespace poise::conformance
