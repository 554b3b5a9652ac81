// A sample's features depend on the other samples of the batch.
#include "tiny_encoder.h"

namespace {

class BadRows : public TinyEncoder {
 public:
  using TinyEncoder::TinyEncoder;
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override {
    const torch::Tensor features = TinyEncoder::forward(input, lengths);
    return features - features.mean(0) * 0.1;
  }
};

}  // namespace

POISE_ENCODER(BadRows, "bad_rows", "a plugin of the tests");
