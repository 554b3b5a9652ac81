#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checks.h"
#include "poise/fusion.h"
#include "poise/intermediate.h"
#include "small_models.h"

namespace poise::conformance {

/// The fusion under test after some training, and what it is fed with: features, tokens, or images for the encoders that
/// it acts in. Its encoders have four stages.
struct BuiltFusion {
  static constexpr std::int64_t rows = 12;    ///< samples
  static constexpr std::int64_t outputs = 3;  ///< classes
  static constexpr std::int64_t steps = 5;    ///< tokens of a sample

  FusionSpec spec;
  std::shared_ptr<Fusion> fusion;
  IntermediateFusion* inside = nullptr;  ///< the fusion, where it acts inside the encoders
  std::vector<std::shared_ptr<reference::StagedImages>> encoders;
  Tensors inputs;
  Tensors lengths;  ///< as Fusion::forward() takes them

  [[nodiscard]] std::size_t modalities() const { return spec.widths.size(); }
  Tensors features(const Tensors& given);
  FusionOutput run(const Tensors& given, const Tensors& their_lengths);
  FusionOutput run() { return run(inputs, lengths); }
  void convert(torch::Dtype dtype);
};

/// With one, two and three modalities of several widths, or of one width where it wants that. What it refuses is left
/// out.
std::vector<BuiltFusion> built_fusions(const Subject& subject, std::string* why_not = nullptr);

}  // namespace poise::conformance
