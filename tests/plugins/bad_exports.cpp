// Shows another function than poise_plugin to the whole process.
#include "poise/modulation.h"
#include "poise/plugin.h"

extern "C" __attribute__((visibility("default"))) int helper();
extern "C" int helper() { return 1; }

namespace {

class BadExports : public poise::Modulation {
 public:
  explicit BadExports(poise::Config& /*config*/) {}
};

}  // namespace

POISE_MODULATION(BadExports, "bad_exports", "a plugin of the tests");
