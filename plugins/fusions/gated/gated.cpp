// Gated fusion (D. Kiela, E. Grave, A. Joulin, T. Mikolov, "Efficient Large-Scale Multi-Modal Classification",
// AAAI 2018), the `gated` of X. Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation",
// CVPR 2022: modality a opens and closes the hidden units of modality b,
//
//   h_m = U_m f_m + c_m                          `hidden` units, m = a, b
//   feature = sigmoid(h_a) * h_b
//   z = W feature + b
//
// A modality alone has no gate: its hidden units are the feature.
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

class Gated : public poise::Fusion {
 public:
  explicit Gated(poise::Config& config)
      : hidden_(config.integer("hidden", 512, {.min = 1, .max = 65536}, "hidden units of each modality")),
        gate_(config.text("gate", "", "modality that opens and closes the other one's; empty: the first")) {}

  void build(const poise::FusionSpec& spec) override {
    const auto& names = spec.modalities;
    if (names.size() > 2) {
      throw poise::Error("gated joins 2 modalities, and this run has " + std::to_string(names.size()) +
                             ": choose another fusion",
                         poise::Fault::usage);
    }
    if (names.size() == 2) choose_gate(names);
    for (std::size_t m = 0; m < names.size(); ++m) {
      layers_.emplace_back(register_module("hidden_" + names[m], torch::nn::Linear(spec.widths[m], hidden_)));
      for (const auto& parameter : layers_[m]->parameters()) {
        set_role(parameter, poise::Role::bypass, {static_cast<int>(m)});
      }
    }
    head_ = register_module("head", torch::nn::Linear(hidden_, spec.task.outputs));
    for (const auto& parameter : head_->parameters()) set_role(parameter, poise::Role::head);
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    const std::size_t b = features.size() == 1 ? 0 : 1 - a_;
    auto feature = layers_[b](features[b]);
    if (features.size() == 2) feature = layers_[a_](features[a_]).sigmoid() * feature;
    return {.logits = head_(feature), .feature = feature};
  }

  [[nodiscard]] bool modes_agree() const override { return true; }

 private:
  void choose_gate(const std::vector<std::string>& names) {
    a_ = gate_ == names[1] ? 1 : 0;
    if (!gate_.empty() && gate_ != names[a_]) {
      throw poise::Error("gated cannot have '" + gate_ + "' as its gate, since this run has '" + names[0] +
                             "' and '" + names[1] + "': set fusion.gate to one of them",
                         poise::Fault::usage);
    }
  }

  std::int64_t hidden_;
  std::string gate_;
  std::size_t a_ = 0;                      // the modality that is the gate
  std::vector<torch::nn::Linear> layers_;  // U_m, c_m
  torch::nn::Linear head_{nullptr};
};

}  // namespace

POISE_FUSION(Gated, "gated", "one modality gates the hidden units of the other; not additive");
