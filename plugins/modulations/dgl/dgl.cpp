// Disentangled Gradient Learning. S. Wei, C. Luo, Y. Luo, "Boosting Multimodal Learning via Disentangled Gradient
// Learning", ICCV 2025.
//
//   z   = fuse(f_1 .. f_k), the features f_m detached
//   z_m = fuse(0 .. f_m .. 0): the features, not the inputs, of the others are zeros
//
//   gradient of the encoders = that of alpha sum_m L(z_m);  what this loss gives the fusion is dropped
//   gradient of the fusion   = that of L(z)
//
// Then the norm of all gradients together is clipped. Encoder m takes part in L(z_m) alone.
#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/kept_buffers.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

class Dgl : public poise::Modulation {
 public:
  explicit Dgl(poise::Config& config)
      : alpha_(config.number("alpha", 4.0, {.min = 0},
                             "weight of the uni-modal losses, which train the encoders")),
        clip_(config.number("clip", 40.0, {.min = 0},
                            "clips the norm of all gradients to this value; 0: never")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.late_fusion = true;  // inside the encoders every modality's loss would reach all of them
    needs.symmetric = false;   // a fusion with dropout draws another mask for each modality, in their order
    needs.backward_passes_per_step = 2;
    return needs;
  }

  void begin(Trainer& trainer) override {
    auto& network = trainer.network();
    encoders_ = network.parameters(poise::Role::encoder);
    if (encoders_.empty()) {
      throw poise::Error(
          "it trains the encoders by losses of their own, and none has parameters: choose other encoders.",
          poise::Fault::usage);
    }
    only_ = at::eye(network.modalities(), encoders_.front().options().requires_grad(false));
  }

  void step(const Batch& batch, Trainer& trainer) override {
    auto& network = trainer.network();
    const poise::KeptBuffers kept(network.fusion());
    const auto gradients = trainer.gradients(alpha_ * unimodal_loss(batch, trainer), encoders_);
    // Running statistics do not count passes of features that are mostly zeros: no prediction sees such.
    kept.put_back();

    std::vector<Tensor> detached;
    for (const auto& feature : network.features(batch)) detached.push_back(feature.detach());
    trainer.backward(trainer.objective().loss(network.fuse(batch, detached).logits, batch));

    for (std::size_t i = 0; i < encoders_.size(); ++i) {
      // A copy: autograd may give one tensor for two parameters, and the clip scales in place.
      encoders_[i].mutable_grad() = gradients[i].clone();
    }
    if (clip_ > 0) poise::clip_gradients(network.parameters(), clip_);
    trainer.optimizer().step();
  }

 private:
  /// sum_m L(z_m).
  Tensor unimodal_loss(const Batch& batch, Trainer& trainer) const {
    auto& network = trainer.network();
    const auto& features = network.features(batch);
    std::vector<Tensor> losses;
    for (std::int64_t m = 0; m < network.modalities(); ++m) {
      const Tensor keep = only_[m].expand({batch.size(), network.modalities()});
      losses.push_back(trainer.objective().loss(network.fuse(batch, features, keep).logits, batch));
    }
    const Tensor each = at::stack(losses);
    trainer.record("unimodal_loss", each.detach());
    return each.sum();
  }

  double alpha_;
  double clip_;
  std::vector<Tensor> encoders_;  ///< their parameters
  Tensor only_;                   ///< row m keeps modality m alone, [k, k]
};

}  // namespace

POISE_MODULATION(Dgl, "dgl",
                 "encoders learn from uni-modal losses, the fusion from the joint one alone (ICCV 2025)");
