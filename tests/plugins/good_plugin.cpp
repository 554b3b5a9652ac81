// A modulation with options of several kinds, which the tests load and describe.
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class GoodPlugin : public poise::Modulation {
 public:
  explicit GoodPlugin(poise::Config& config)
      : alpha_(config.number("alpha", 1.5, {.min = 0}, "strength of the modulation")),
        window_(config.integer("window", 10, {.min = 1, .max = 100}, "epochs in which it acts")) {
    config.text("note", poise::required, "what the log says");
    config.table("schedule").choice("shape", "flat", {"flat", "cosine"}, "how alpha changes");
  }
  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    return {.subsets_per_step = static_cast<std::int64_t>(alpha_) + window_};
  }

 private:
  double alpha_;
  std::int64_t window_;
};

}  // namespace

POISE_MODULATION(GoodPlugin, "good_plugin", "a plugin of the tests");
