// FiLM (E. Perez, F. Strub, H. de Vries, V. Dumoulin, A. Courville, "FiLM: Visual Reasoning with a General
// Conditioning Layer", AAAI 2018) on features, the `film` of X. Peng et al., "Balanced Multimodal Learning via
// On-the-fly Gradient Modulation", CVPR 2022: modality a scales and shifts the features of modality b,
//
//   [gamma, beta] = V f_a + c                    as wide as f_b, each
//   feature = gamma * f_b + beta
//   z = W feature + b
//
// A modality alone has nothing to modulate it: its features are the feature.
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

class Film : public poise::Fusion {
 public:
  explicit Film(poise::Config& config)
      : modulated_by_(config.text("modulated_by", "",
                                  "modality that scales and shifts the other one; empty: the first")) {}

  void build(const poise::FusionSpec& spec) override {
    const auto& names = spec.modalities;
    if (names.size() > 2) {
      throw poise::Error("film joins 2 modalities, and this run has " + std::to_string(names.size()) +
                             ": choose another fusion",
                         poise::Fault::usage);
    }
    if (names.size() == 2) build_conditioning(spec);
    head_ = register_module("head", torch::nn::Linear(spec.widths[modulated()], spec.task.outputs));
    for (const auto& parameter : head_->parameters()) set_role(parameter, poise::Role::head);
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    auto feature = features[modulated()];
    if (conditioning_) {
      const auto gamma_beta = conditioning_(features[a_]).chunk(2, 1);
      feature = gamma_beta[0] * feature + gamma_beta[1];
    }
    return {.logits = head_(feature), .feature = feature};
  }

  [[nodiscard]] bool modes_agree() const override { return true; }

 private:
  void build_conditioning(const poise::FusionSpec& spec) {
    const auto& names = spec.modalities;
    a_ = modulated_by_ == names[1] ? 1 : 0;
    if (!modulated_by_.empty() && modulated_by_ != names[a_]) {
      throw poise::Error("film cannot be modulated by '" + modulated_by_ + "', since this run has '" +
                             names[0] + "' and '" + names[1] + "': set fusion.modulated_by to one of them",
                         poise::Fault::usage);
    }
    conditioning_ =
        register_module("conditioning", torch::nn::Linear(spec.widths[a_], 2 * spec.widths[1 - a_]));
    for (const auto& parameter : conditioning_->parameters()) {
      set_role(parameter, poise::Role::bypass, {static_cast<int>(a_)});
    }
  }

  /// b; 0 where there is one modality alone.
  [[nodiscard]] std::size_t modulated() const { return conditioning_ ? 1 - a_ : 0; }

  std::string modulated_by_;
  std::size_t a_ = 0;                        // the modality that modulates
  torch::nn::Linear conditioning_{nullptr};  // V, c; none for one modality
  torch::nn::Linear head_{nullptr};
};

}  // namespace

POISE_FUSION(Film, "film", "one modality scales and shifts the features of the other; not additive");
