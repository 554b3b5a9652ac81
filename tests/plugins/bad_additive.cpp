// Says that it is additive, and each modality's part depends on the others.
#include "tiny_fusion.h"

namespace {

class BadAdditive : public TinyFusion {
 public:
  using TinyFusion::TinyFusion;
  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& lengths) override {
    const torch::Tensor gate = at::sigmoid(at::cat(features, 1).mean(1, true));
    std::vector<torch::Tensor> gated;
    for (const auto& feature : features) gated.push_back(feature * gate);
    return TinyFusion::forward(gated, lengths);
  }
};

}  // namespace

POISE_FUSION(BadAdditive, "bad_additive", "a plugin of the tests");
