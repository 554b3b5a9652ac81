// Lets the padding through: takes every sequence as long as the longest.
#include "tiny_encoder.h"

namespace {

class BadPadding : public TinyEncoder {
 public:
  using TinyEncoder::TinyEncoder;
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& /*lengths*/) override {
    return TinyEncoder::forward(input, {});
  }
};

}  // namespace

POISE_ENCODER(BadPadding, "bad_padding", "a plugin of the tests");
