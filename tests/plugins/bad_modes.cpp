// Says that training and evaluation mode agree, and has dropout.
#include "tiny_encoder.h"

namespace {

class BadModes : public TinyEncoder {
 public:
  using TinyEncoder::TinyEncoder;
  [[nodiscard]] bool modes_agree() const override { return true; }
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override {
    return at::dropout(TinyEncoder::forward(input, lengths), 0.5, is_training());
  }
};

}  // namespace

POISE_ENCODER(BadModes, "bad_modes", "a plugin of the tests");
