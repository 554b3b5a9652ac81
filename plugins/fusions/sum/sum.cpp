// Late fusion by the sum of one linear head per modality,
//
//   z = sum_m z_m,   z_m = W_m f_m + b_m
//
// the `late_fusion` of every method but AGM in the code of H. Li et al., "Boosting Multi-modal Model Performance
// with Adaptive Gradient Modulation", ICCV 2023, and `sum` in that of X. Peng et al., "Balanced Multimodal
// Learning via On-the-fly Gradient Modulation", CVPR 2022. z_m is modality m's share of the logits.
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

class Sum : public poise::Fusion {
 public:
  explicit Sum(poise::Config& /*config*/) {}

  void build(const poise::FusionSpec& spec) override {
    for (std::size_t m = 0; m < spec.widths.size(); ++m) {
      heads_.emplace_back(register_module("head_" + spec.modalities[m],
                                          torch::nn::Linear(spec.widths[m], spec.task.outputs)));
      set_role(heads_.back()->weight, poise::Role::head, {static_cast<int>(m)});
      set_role(heads_.back()->bias, poise::Role::head, {static_cast<int>(m)});
    }
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    auto logits = heads_[0](features[0]);
    for (std::size_t m = 1; m < heads_.size(); ++m) logits = logits + heads_[m](features[m]);
    return {.logits = logits, .feature = torch::cat(features, 1)};
  }

  [[nodiscard]] bool modes_agree() const override { return true; }
  [[nodiscard]] bool additive() const override { return true; }

  torch::Tensor share(int modality, const torch::Tensor& feature) override {
    return heads_[static_cast<std::size_t>(modality)](feature);
  }

 private:
  std::vector<torch::nn::Linear> heads_;  // W_m [C, d_m], b_m [C]
};

}  // namespace

POISE_FUSION(Sum, "sum", "the sum of one linear head per modality; additive");
