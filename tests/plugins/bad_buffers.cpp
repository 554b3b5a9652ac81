// Runs a masked pass as if it were the training pass, so that BatchNorm's buffers see masked inputs.
#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadBuffers : public poise::Modulation {
 public:
  explicit BadBuffers(poise::Config& /*config*/) {}
  torch::Tensor loss(const poise::Batch& batch, poise::Trainer& trainer) override {
    poise::Batch masked = batch;
    for (auto& input : masked.inputs) input = at::zeros_like(input);
    trainer.network().features(masked);
    return Modulation::loss(batch, trainer);
  }
};

}  // namespace

POISE_MODULATION(BadBuffers, "bad_buffers", "a plugin of the tests");
