#pragma once

#include <torch/types.h>

namespace poise {

/// n!, exact in a double up to n = 18.
double factorial(int n);

/// Of k players' Shapley values
///
///   phi_m = sum over S containing m of  (|S|-1)! (k-|S|)! / k!  (v(S) - v(S\m)),  v({}) = 0
///
/// the integers that each v(S) counts in k! phi_m: (|S|-1)! (k-|S|)! where m is in S, else -|S|! (k-|S|-1)!.
/// [2^k - 1, k] float64 on the CPU; row S - 1 holds the subset with the bits S.
torch::Tensor shapley_numerators(int k);

}  // namespace poise
