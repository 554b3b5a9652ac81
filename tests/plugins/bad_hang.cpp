// Waits for ever, where a modality is all zero.
#include <unistd.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadHang : public poise::Modulation {
 public:
  explicit BadHang(poise::Config& /*config*/) {}
  void modulate(const poise::Batch& batch, poise::Trainer& /*trainer*/) override {
    while (batch.inputs.front().abs().max().item<double>() == 0) ::pause();
  }
};

}  // namespace

POISE_MODULATION(BadHang, "bad_hang", "a plugin of the tests");
