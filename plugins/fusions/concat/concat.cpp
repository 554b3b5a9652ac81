// Late fusion by concatenation: one linear layer on the features of all modalities side by side,
//
//   z = W [f_1, ..., f_k] + b = sum_m f_m W_m^T + b
//
// the `late_fusion` of H. Li et al., "Boosting Multi-modal Model Performance with Adaptive Gradient Modulation",
// ICCV 2023, and of X. Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR 2022.
// W is kept as its blocks W_m, one parameter per modality, so that a modality's share f_m W_m^T + b/k has
// parameters of its own.
#include <numeric>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

class Concat : public poise::Fusion {
 public:
  explicit Concat(poise::Config& /*config*/) {}

  void build(const poise::FusionSpec& spec) override {
    const auto total = std::accumulate(spec.widths.begin(), spec.widths.end(), std::int64_t{0});
    // LibTorch's own start of the whole layer: W and b uniform within 1/sqrt(sum of the widths).
    const torch::nn::Linear whole(total, spec.task.outputs);
    const auto blocks = whole->weight.detach().split_with_sizes(spec.widths, 1);
    for (std::size_t m = 0; m < blocks.size(); ++m) {
      weights_.push_back(register_parameter("weight_" + spec.modalities[m], blocks[m].clone()));
      set_role(weights_.back(), poise::Role::head, {static_cast<int>(m)});
    }
    bias_ = register_parameter("bias", whole->bias.detach().clone());
    set_role(bias_, poise::Role::head);
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    auto logits = bias_;
    for (std::size_t m = 0; m < weights_.size(); ++m) logits = logits.addmm(features[m], weights_[m].t());
    return {.logits = logits, .feature = torch::cat(features, 1)};
  }

  [[nodiscard]] bool modes_agree() const override { return true; }
  [[nodiscard]] bool additive() const override { return true; }

  torch::Tensor share(int modality, const torch::Tensor& feature) override {
    const auto m = static_cast<std::size_t>(modality);
    return (bias_ / static_cast<double>(weights_.size())).addmm(feature, weights_[m].t());
  }

 private:
  std::vector<torch::Tensor> weights_;  // W_m [C, d_m]
  torch::Tensor bias_;                  // [C]
};

}  // namespace

POISE_FUSION(Concat, "concat", "one linear layer on the concatenated features; additive");
