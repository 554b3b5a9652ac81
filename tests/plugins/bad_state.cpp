// Forgets in visit() how many steps it has seen.
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadState : public poise::Modulation {
 public:
  explicit BadState(poise::Config& /*config*/) {}
  void modulate(const poise::Batch& /*batch*/, poise::Trainer& trainer) override {
    ++steps_;
    for (auto& parameter : trainer.network().parameters()) {
      if (parameter.grad().defined()) parameter.grad().div_(steps_);
    }
  }

 private:
  std::int64_t steps_ = 0;
};

}  // namespace

POISE_MODULATION(BadState, "bad_state", "a plugin of the tests");
