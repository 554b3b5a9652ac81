#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include "poise/config.h"
#include "poise/error.h"
#include "poise/identity.h"
#include "poise/same_bits.h"

/// Of the plugin that the test is linked with.
extern "C" const PoisePlugin poise_plugin;

/// What the tests of plugins share.
namespace poise::testing {

/// The plugin made with `options`, the text of its table in a pipeline. As the host does, refuses what it left
/// unread.
template <class Interface>
std::shared_ptr<Interface> make(const std::string& options = "") {
  auto config = Config::parse(options);
  auto plugin = std::shared_ptr<Interface>(static_cast<Interface*>(poise_plugin.create(&config)));
  config.finish();
  return plugin;
}

/// The sentence with which `action` is refused as wrong use; empty when it is not.
template <class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "";
}

/// `options` are refused with a sentence that has `part` in it.
template <class Interface>
void expect_refused(const std::string& options, const std::string& part) {
  const std::string sentence = refusal([&] { make<Interface>(options); });
  ASSERT_NE(sentence, "") << options << " was accepted";
  EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
}

/// The largest difference of two tensors, relative to the largest entry of `expected`.
inline double difference(const torch::Tensor& actual, const torch::Tensor& expected) {
  return ((actual - expected).abs().max() / expected.abs().max()).item<double>();
}

/// Every parameter receives a gradient that is finite and not all zero.
inline void expect_gradients(const torch::nn::Module& module) {
  for (const auto& parameter : module.named_parameters()) {
    const auto& gradient = parameter->grad();
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(gradient.abs().max().item<double>(), 0) << parameter.key();
  }
}

inline std::int64_t count_parameters(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace poise::testing
