// Encoders that run in stages, networks of them, and the formula that MMTM's tests compare with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"

namespace mmtm_test {

using namespace poise::testing;

/// Stages of one convolution each, then the mean over the map.
class Tower : public torch::nn::Module, public poise::StagedEncoder {
 public:
  Tower(std::int64_t in, std::vector<std::int64_t> channels) : channels_(std::move(channels)) {
    for (const auto out : channels_) {
      convolutions_.emplace_back(
          register_module("stage" + std::to_string(convolutions_.size()),
                          torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1))));
      in = out;
    }
  }
  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override { return channels_; }
  torch::Tensor stage(std::size_t index, const torch::Tensor& x) override {
    return convolutions_[index](x).tanh();
  }
  torch::Tensor pool(const torch::Tensor& x) override { return x.mean({2, 3}); }

 private:
  std::vector<std::int64_t> channels_;
  std::vector<torch::nn::Conv2d> convolutions_;
};

/// Stages of one linear layer each: maps without a side.
class Layers : public torch::nn::Module, public poise::StagedEncoder {
 public:
  Layers(std::int64_t in, std::vector<std::int64_t> channels) : channels_(std::move(channels)) {
    for (const auto out : channels_) {
      linears_.emplace_back(
          register_module("stage" + std::to_string(linears_.size()), torch::nn::Linear(in, out)));
      in = out;
    }
  }
  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override { return channels_; }
  torch::Tensor stage(std::size_t index, const torch::Tensor& x) override {
    return linears_[index](x).tanh();
  }
  torch::Tensor pool(const torch::Tensor& x) override { return x; }

 private:
  std::vector<std::int64_t> channels_;
  std::vector<torch::nn::Linear> linears_;
};

/// Image with three stages, motion with two.
inline poise::FusionSpec two() {
  return {.modalities = {"image", "motion"},
          .widths = {6, 5},
          .stage_channels = {{3, 4, 6}, {7, 5}},
          .task = {.outputs = 4, .labels = {}}};
}

struct Network {
  std::shared_ptr<Tower> image;
  std::shared_ptr<Layers> motion;
  std::shared_ptr<poise::Fusion> fusion;

  explicit Network(const std::string& options, torch::Dtype type = torch::kFloat64) {
    torch::manual_seed(6);
    image = std::make_shared<Tower>(1, two().stage_channels[0]);
    motion = std::make_shared<Layers>(2, two().stage_channels[1]);
    fusion = make<poise::Fusion>(options);
    fusion->build(two());
    image->to(type);
    motion->to(type);
    fusion->to(type);
  }

  [[nodiscard]] std::vector<torch::Tensor> encode(const std::vector<torch::Tensor>& inputs) const {
    auto* intermediate = dynamic_cast<poise::IntermediateFusion*>(fusion.get());
    return intermediate->encode({image.get(), motion.get()}, inputs);
  }

  void replace_gates(const torch::Tensor& replaced) const {
    dynamic_cast<poise::GateSwitch&>(*fusion).replace_gates(replaced);
  }
};

inline std::vector<torch::Tensor> inputs_of(std::int64_t rows, torch::Dtype type = torch::kFloat64) {
  return {torch::randn({rows, 1, 6, 5}, type), torch::randn({rows, 2}, type)};
}

/// The formula with every product of the gates written out. The stages of both encoders run in `order`, a transfer
/// where it has one: 'i' a stage of image, 'm' one of motion, 't' a transfer.
inline std::vector<torch::Tensor> reference(const Network& network, const std::vector<torch::Tensor>& inputs,
                                            const std::string& order) {
  const auto p = network.fusion->named_parameters();
  const auto linear = [&](const torch::Tensor& x, const std::string& name) {
    return (x.unsqueeze(1) * p[name + ".weight"]).sum(2) + p[name + ".bias"];
  };
  auto image = inputs[0];
  auto motion = inputs[1];
  std::size_t image_stage = 0;
  std::size_t motion_stage = 0;
  int transfers = 0;
  for (const char part : order) {
    if (part == 'i') image = network.image->stage(image_stage++, image);
    if (part == 'm') motion = network.motion->stage(motion_stage++, motion);
    if (part != 't') continue;
    const std::string name = "transfer" + std::to_string(++transfers);
    const auto means = image.sum({2, 3}) / static_cast<double>(image.size(2) * image.size(3));
    const auto joint = linear(torch::cat({means, motion}, 1), name + ".squeeze").clamp_min(0);
    const auto image_gate = 2 / (1 + (-linear(joint, name + ".excite_image")).exp());
    const auto motion_gate = 2 / (1 + (-linear(joint, name + ".excite_motion")).exp());
    image = image * image_gate.unsqueeze(2).unsqueeze(3);
    motion = motion * motion_gate;
  }
  EXPECT_EQ(image_stage, 3U);
  EXPECT_EQ(motion_stage, 2U);
  return {image.mean({2, 3}), motion};
}

/// An encoder whose only stage passes its input on.
class PassedOn : public poise::StagedEncoder {
 public:
  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override { return {3}; }
  torch::Tensor stage(std::size_t /*index*/, const torch::Tensor& x) override { return x; }
  torch::Tensor pool(const torch::Tensor& x) override { return x; }
};

/// One transfer module with the parameters of the oracle's `gates`.
struct Block {
  nlohmann::json values = poise::testing::oracle("greedy").at("gates");
  std::shared_ptr<poise::Fusion> fusion = make<poise::Fusion>("stages = [0]\nratio = 2");
  PassedOn encoder;

  Block() {
    auto spec = two();
    spec.modalities = {"0", "1"};
    spec.widths = {3, 3};
    spec.stage_channels = {{3}, {3}};
    fusion->build(spec);
    fusion->to(torch::kFloat64);
    const torch::NoGradGuard no_grad;
    for (const auto& [name, value] : values["parameters"].items()) parameter(name).copy_(tensor_of(value));
  }

  /// "excite.0.weight" of the oracle is "transfer1.excite_0.weight" here.
  [[nodiscard]] torch::Tensor parameter(std::string name) const {
    if (name.starts_with("excite.")) name[6] = '_';
    return fusion->named_parameters()["transfer1." + name];
  }

  /// Both modalities, [2, B, 3, P].
  torch::Tensor gated(const torch::Tensor& x) {
    auto& between = dynamic_cast<poise::IntermediateFusion&>(*fusion);
    return torch::stack(between.encode({&encoder, &encoder}, {x[0], x[1]}));
  }
};

/// The largest difference of the parameters' gradients.
inline double gradients_off(const Block& block, const nlohmann::json& expected) {
  double off = 0;
  for (const auto& [name, value] : expected.items()) {
    off = std::max(off, (block.parameter(name).grad() - tensor_of(value)).abs().max().item<double>());
  }
  return off;
}

}  // namespace mmtm_test
