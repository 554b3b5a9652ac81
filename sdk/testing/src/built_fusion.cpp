#include "built_fusion.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "poise/error.h"

namespace poise::conformance {

using torch::Tensor;

Tensors BuiltFusion::features(const Tensors& given) {
  if (inside == nullptr) return given;
  std::vector<StagedEncoder*> staged;
  for (auto& encoder : encoders) staged.push_back(encoder.get());
  return inside->encode(staged, given);
}

FusionOutput BuiltFusion::run(const Tensors& given, const Tensors& their_lengths) {
  return fusion->forward(features(given), their_lengths);
}

void BuiltFusion::convert(torch::Dtype dtype) {
  fusion->to(dtype);
  for (auto& encoder : encoders) encoder->to(dtype);
  for (auto& input : inputs) input = input.to(dtype);
}

namespace {

FusionSpec spec_of(const std::vector<std::int64_t>& widths) {
  FusionSpec spec;
  for (std::size_t m = 0; m < widths.size(); ++m) spec.modalities.push_back("m" + std::to_string(m));
  spec.widths = widths;
  spec.stage_channels.assign(widths.size(), reference::StagedImages(1).stage_channels());
  spec.task.outputs = BuiltFusion::outputs;
  return spec;
}

void feed(BuiltFusion& built) {
  constexpr std::int64_t rows = BuiltFusion::rows;
  constexpr std::int64_t steps = BuiltFusion::steps;
  for (std::size_t m = 0; m < built.modalities(); ++m) {
    const std::int64_t width = built.spec.widths[m];
    Tensor lengths;
    if (built.inside != nullptr) {
      Modality modality;
      modality.name = built.spec.modalities[m];
      modality.shape = {2, 8, 8};
      built.encoders.push_back(std::make_shared<reference::StagedImages>(width));
      built.encoders.back()->build(modality);
      built.inputs.push_back(at::randn({rows, 2, 8, 8}, at::kFloat));
    } else if (built.fusion->takes_tokens() && m != 1) {
      // Modality 0 has sequences of several lengths, 1 no tokens, 2 tokens that all count.
      built.inputs.push_back(at::randn({rows, steps, width}, at::kFloat));
      if (m == 0) lengths = at::arange(rows, at::kLong).remainder(steps) + 1;
    } else {
      built.inputs.push_back(at::randn({rows, width}, at::kFloat));
    }
    built.lengths.push_back(lengths);
  }
}

}  // namespace

std::vector<BuiltFusion> built_fusions(const Subject& subject, std::string* why_not) {
  using Widths = std::vector<std::int64_t>;
  std::vector<BuiltFusion> all;
  for (std::size_t k = 1; k <= 3; ++k) {
    for (Widths widths : {Widths{6, 8, 10}, Widths{8, 8, 8}}) {
      widths.resize(k);
      BuiltFusion built;
      built.spec = spec_of(widths);
      built.fusion = make<Fusion>(subject);
      torch::manual_seed(subject.seed);
      try {
        built.fusion->build(built.spec);
      } catch (const Error& error) {
        if (error.fault() != Fault::usage) throw;
        if (why_not != nullptr) *why_not = error.what();
        continue;
      }
      built.inside = dynamic_cast<IntermediateFusion*>(built.fusion.get());
      perturb(*built.fusion);
      feed(built);
      const at::NoGradGuard no_grad;
      for (int i = 0; i < 3; ++i) built.run();
      all.push_back(std::move(built));
      break;
    }
  }
  return all;
}

}  // namespace poise::conformance
