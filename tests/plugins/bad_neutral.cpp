// Says that it is neutral by default, and halves every gradient.
#include <optional>
#include <string>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadNeutral : public poise::Modulation {
 public:
  explicit BadNeutral(poise::Config& /*config*/) {}
  [[nodiscard]] std::optional<std::string> neutral_options() const override { return ""; }
  void modulate(const poise::Batch& /*batch*/, poise::Trainer& trainer) override {
    for (auto& parameter : trainer.network().parameters()) {
      if (parameter.grad().defined()) parameter.grad().mul_(0.5);
    }
  }
};

}  // namespace

POISE_MODULATION(BadNeutral, "bad_neutral", "a plugin of the tests");
