// Seeds the default generator.
#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadSeed : public poise::Modulation {
 public:
  explicit BadSeed(poise::Config& /*config*/) {}
  void begin(poise::Trainer& /*trainer*/) override { at::manual_seed(0); }
};

}  // namespace

POISE_MODULATION(BadSeed, "bad_seed", "a plugin of the tests");
