// Has a parameter that no gradient reaches.
#include "tiny_encoder.h"

namespace {

class BadGradient : public TinyEncoder {
 public:
  using TinyEncoder::TinyEncoder;
  void build(const poise::Modality& modality) override {
    TinyEncoder::build(modality);
    register_parameter("unused", at::ones({4}));
  }
};

}  // namespace

POISE_ENCODER(BadGradient, "bad_gradient", "a plugin of the tests");
