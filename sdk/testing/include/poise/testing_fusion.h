#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "poise/fusion.h"
#include "poise/testing.h"

/// What the tests of fusions share.
namespace poise::testing {

/// For encoders that run in no stages, and four classes.
inline FusionSpec spec_of(std::vector<std::string> modalities, std::vector<std::int64_t> widths) {
  return {.modalities = std::move(modalities),
          .widths = std::move(widths),
          .stage_channels = {},
          .task = {.outputs = 4, .labels = {}}};
}

/// The same seed gives the same parameters.
inline std::shared_ptr<Fusion> built(const std::string& options, const FusionSpec& spec, std::uint64_t seed) {
  torch::manual_seed(seed);
  auto fusion = make<Fusion>(options);
  fusion->build(spec);
  return fusion;
}

/// Random features of every modality, [rows, width].
inline std::vector<torch::Tensor> features_of(const FusionSpec& spec, std::int64_t rows,
                                              torch::Dtype type = torch::kFloat32) {
  std::vector<torch::Tensor> features;
  features.reserve(spec.widths.size());
  for (const auto width : spec.widths) features.push_back(torch::randn({rows, width}, type));
  return features;
}

/// build(spec) is refused with this sentence.
inline void expect_build_refused(const std::string& options, const FusionSpec& spec,
                                 const std::string& sentence) {
  EXPECT_EQ(refusal([&] { make<Fusion>(options)->build(spec); }), sentence);
}

/// The loss reaches every parameter, and every one of the `features`.
inline void expect_gradients_everywhere(Fusion& fusion, const std::vector<torch::Tensor>& features) {
  for (const auto& feature : features) feature.requires_grad_();
  const auto logits = fusion.forward(features, {}).logits;
  (logits * torch::randn_like(logits)).sum().backward();
  expect_gradients(fusion);
  for (const auto& feature : features) EXPECT_GT(feature.grad().abs().max().item<double>(), 0);
}

/// roles() are these, in order: a parameter's name, its role and its modalities.
inline void expect_roles(const Fusion& fusion,
                         const std::vector<std::tuple<std::string, Role, std::vector<int>>>& expected) {
  const auto parameters = fusion.named_parameters();
  const auto& roles = fusion.roles();
  ASSERT_EQ(roles.size(), expected.size());
  for (std::size_t i = 0; i < roles.size(); ++i) {
    const auto& [name, role, modalities] = expected[i];
    EXPECT_TRUE(roles[i].parameter.is_same(parameters[name])) << name;
    EXPECT_EQ(roles[i].role, role) << name;
    EXPECT_EQ(roles[i].modalities, modalities) << name;
  }
}

}  // namespace poise::testing
