#pragma once

#include <vector>

#include <torch/types.h>

namespace poise {

/// What a parameter is for. Methods address parameters by role and modality, never by name.
enum class Role {
  encoder,  ///< of one modality's encoder
  bypass,   ///< serves one or more modalities inside a fusion
  fusion,   ///< any other parameter of a fusion
  head,  ///< the fusion's last linear layer: the weight of a modality has that modality, a common bias has none
  own,  ///< the modulation's own modules
};

/// A parameter with its role. `modalities` is empty where it belongs to none in particular.
struct RoleOf {
  torch::Tensor parameter;
  Role role = Role::fusion;
  std::vector<int> modalities;
};

}  // namespace poise
