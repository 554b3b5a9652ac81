// Changes the parameters beside the optimizer.
#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadUpdate : public poise::Modulation {
 public:
  explicit BadUpdate(poise::Config& /*config*/) {}
  void modulate(const poise::Batch& /*batch*/, poise::Trainer& trainer) override {
    const at::NoGradGuard no_grad;
    for (auto& parameter : trainer.network().parameters()) parameter.mul_(0.999);
  }
};

}  // namespace

POISE_MODULATION(BadUpdate, "bad_update", "a plugin of the tests");
