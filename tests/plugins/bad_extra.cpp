// Visits the training data before every epoch, and declares no extra passes.
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadExtra : public poise::Modulation {
 public:
  explicit BadExtra(poise::Config& /*config*/) {}
  void begin_epoch(poise::Trainer& trainer) override {
    trainer.for_each_batch(poise::Split::train, {}, [](const poise::Batch&) { return true; });
  }
};

}  // namespace

POISE_MODULATION(BadExtra, "bad_extra", "a plugin of the tests");
