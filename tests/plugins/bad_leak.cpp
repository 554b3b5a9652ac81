// Keeps every batch that it has seen.
#include <vector>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadLeak : public poise::Modulation {
 public:
  explicit BadLeak(poise::Config& /*config*/) {}
  void modulate(const poise::Batch& batch, poise::Trainer& /*trainer*/) override { seen_.push_back(batch); }

 private:
  std::vector<poise::Batch> seen_;
};

}  // namespace

POISE_MODULATION(BadLeak, "bad_leak", "a plugin of the tests");
