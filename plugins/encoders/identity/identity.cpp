// The input itself as the feature, for features that were computed before. No parameters.
//
//   feature = vec(input)
//   of a sequence [T, ...] of n steps: feature = sum_{t<n} vec(input_t) / max(n, 1)
//   or, as tokens: feature_t = vec(input_t), t < T
#include <functional>
#include <numeric>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/plugin.h"
#include "poise/tokens.h"

namespace {

class Identity : public poise::Encoder {
 public:
  explicit Identity(poise::Config& config)
      : tokens_(
            config.boolean("tokens", false, "give the steps of [T, F] one by one, not a sequence's mean")) {}

  void build(const poise::Modality& modality) override {
    const auto& shape = modality.shape;
    is_sequence_ = modality.is_sequence;
    if (tokens_ && !is_sequence_ && shape.size() != 2) {
      throw poise::Error("identity with tokens = true reads sequences and [T, F], and modality '" +
                             modality.name +
                             "' is neither: leave tokens out, or choose another encoder for it",
                         poise::Fault::usage);
    }
    const auto first = shape.begin() + (is_sequence_ || tokens_ ? 1 : 0);
    width_ = std::accumulate(first, shape.end(), std::int64_t{1}, std::multiplies<>());
  }

  [[nodiscard]] std::int64_t width() const override { return width_; }
  [[nodiscard]] bool gives_tokens() const override { return tokens_; }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override {
    if (!is_sequence_ && !tokens_) return input.flatten(1);
    auto steps = input.reshape({input.size(0), input.size(1), width_});
    if (!is_sequence_) return steps;
    if (!tokens_) return poise::mean_token(steps, lengths);
    const auto padding = torch::arange(steps.size(1), lengths.options()).ge(lengths.unsqueeze(1));
    return steps.masked_fill(padding.unsqueeze(2), 0);
  }

  [[nodiscard]] bool modes_agree() const override { return true; }
  /// The mean of zeros is zero for any length; of tokens there are as many as the length says.
  [[nodiscard]] bool constant_when_absent() const override { return !is_sequence_ || !tokens_; }

 private:
  bool tokens_;
  bool is_sequence_ = false;
  std::int64_t width_ = 0;
};

}  // namespace

POISE_ENCODER(Identity, "identity",
              "the input itself as the feature, for features that were computed before");
