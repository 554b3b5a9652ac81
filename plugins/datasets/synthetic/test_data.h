#pragma once

#include <memory>
#include <string>
#include <vector>

#include <poise/dataset.h>
#include <poise/testing.h>

#include "parameters.h"

/// The plugin with these options (TOML).
inline std::shared_ptr<poise::Dataset> declared(const std::string& options) {
  return poise::testing::make<poise::Dataset>(options);
}

/// And its samples made.
inline std::shared_ptr<poise::Dataset> built(const std::string& options,
                                             const std::vector<int>& modalities = {0, 1}) {
  auto dataset = declared(options);
  dataset->build({.modalities = modalities, .threads = 1});
  return dataset;
}

/// All samples of a split.
inline poise::Batch all(const poise::Dataset& dataset, poise::Split split) {
  return dataset.fetch(split, torch::arange(dataset.size(split)), 0);
}

inline synthetic::Parameters parameters(const std::string& options) {
  auto config = poise::Config::parse(options);
  return synthetic::read_parameters(config);
}
