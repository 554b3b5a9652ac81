#pragma once

#include <torch/types.h>

#include "parameters.h"

namespace synthetic {

// Everything here depends on the parameters and the split alone, and sample i of a split not on how many
// there are.

/// [size, L] float32: 1 or -1 (bits 0 and 1), or standard normal numbers for a regression. The columns are
/// the unique latents of m0, of m1, ..., the redundant ones, then of each combined output the k factors.
torch::Tensor latents(const Parameters& p, poise::Split split);

/// Targets with their noise, as poise::TaskKind says, but for a regression not yet standardised. A class is
/// the number whose binary digits are the bits, output 0 the lowest.
torch::Tensor targets(const Parameters& p, const torch::Tensor& latents, poise::Split split);

/// Orthonormal rows, one for each latent of shown(modality), in the space of a vector, of a step, or of an
/// image's pixels: [n, D] float64. Images have smooth ones, mixed from the 16 cosines of lowest frequency.
torch::Tensor directions(const Parameters& p, int modality);

struct Input {
  torch::Tensor values;   ///< [size, ...] float32
  torch::Tensor lengths;  ///< [size] int64 of sequences, else undefined
};
/// The latents in their directions, with noise.
Input input(const Parameters& p, const torch::Tensor& latents, int modality, poise::Split split);

}  // namespace synthetic
