#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "poise/files.h"

/// What the scripts in tests/oracles have stored.
namespace poise::testing {

/// The values of NAME.json. Throws Error naming the file when it cannot be read.
inline nlohmann::json oracle(const std::string& name) {
  return nlohmann::json::parse(read_file(POISE_ORACLES "/" + name + ".json"));
}

/// Nested lists of numbers as a float64 tensor.
inline at::Tensor tensor_of(const nlohmann::json& json) {
  if (!json.is_array()) return at::scalar_tensor(json.get<double>(), at::kDouble);
  std::vector<at::Tensor> parts;
  for (const auto& element : json) parts.push_back(tensor_of(element));
  return at::stack(parts);
}

}  // namespace poise::testing
