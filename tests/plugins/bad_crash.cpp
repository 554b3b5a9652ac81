// Crashes in a hook, where every sample of a batch is of the class 0.
#include <csignal>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadCrash : public poise::Modulation {
 public:
  explicit BadCrash(poise::Config& /*config*/) {}
  void modulate(const poise::Batch& batch, poise::Trainer& /*trainer*/) override {
    if (batch.targets.max().item<double>() == 0) std::raise(SIGSEGV);
  }
};

}  // namespace

POISE_MODULATION(BadCrash, "bad_crash", "a plugin of the tests");
