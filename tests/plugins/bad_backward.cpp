// Differentiates the loss twice, and declares one backward pass.
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadBackward : public poise::Modulation {
 public:
  explicit BadBackward(poise::Config& /*config*/) {}
  torch::Tensor loss(const poise::Batch& batch, poise::Trainer& trainer) override {
    const auto value = Modulation::loss(batch, trainer);
    trainer.gradients(value, trainer.network().parameters());
    return value;
  }
};

}  // namespace

POISE_MODULATION(BadBackward, "bad_backward", "a plugin of the tests");
