// Brings a LibTorch of its own (a stand-in under the name that bundling tools give it).
#include "poise/modulation.h"
#include "poise/plugin.h"

int bundled_torch();

namespace {

class BadTorch : public poise::Modulation {
 public:
  explicit BadTorch(poise::Config& /*config*/) { bundled_torch(); }
};

}  // namespace

POISE_MODULATION(BadTorch, "bad_torch", "a plugin of the tests");
