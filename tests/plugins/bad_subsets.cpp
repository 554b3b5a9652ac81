// Asks for the logits of every single modality, and declares the full set alone.
#include <vector>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadSubsets : public poise::Modulation {
 public:
  explicit BadSubsets(poise::Config& /*config*/) {}
  torch::Tensor loss(const poise::Batch& batch, poise::Trainer& trainer) override {
    std::vector<poise::Subset> alone;
    for (int m = 0; m < trainer.network().modalities(); ++m) alone.push_back(poise::Subset::only(m));
    trainer.network().logits(batch, alone);
    return Modulation::loss(batch, trainer);
  }
};

}  // namespace

POISE_MODULATION(BadSubsets, "bad_subsets", "a plugin of the tests");
