// A transformer over the steps of a sequence [L, F] (A. Vaswani et al., "Attention Is All You Need", NIPS 2017), the
// encoder of UR-Funny in H. Li et al., "Boosting Multi-modal Model Performance with Adaptive Gradient Modulation",
// ICCV 2023, which is readout = "first", mask = false:
//
//   x_t = E input_t                                                     F to width columns, no bias
//   x = LN(x + dropout(W_o [A_1 V_1, ..., A_h V_h] + b_o))              `layers` times, this line and the next
//   x = LN(x + dropout(W_2 dropout(relu(W_1 x + b_1)) + b_2))
//   A_j = dropout(softmax(Q_j K_j^T / sqrt(width / h))),  [Q, K, V] = W x + b, column block j of each is head j's
//   feature = sum_{t<n} x_t / max(n, 1)                                 readout "mean"
//   or x_0, or x_t one by one                                           readout "first", "tokens"
//
// n is the sample's length; the columns of A_j beyond it are 0. With mask = false, n = L. LN has eps 1e-5. With
// positions = true, x_t = E input_t + p_t, p_{t,2i} = sin(t / 10000^(2i / width)), p_{t,2i+1} = cos(the same).
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/plugin.h"

namespace {

class LayerImpl : public torch::nn::Module {
 public:
  LayerImpl(std::int64_t columns, std::int64_t heads, std::int64_t feed_forward, double dropout)
      : heads_(heads),
        dropout_(dropout),
        qkv_(register_module("qkv", torch::nn::Linear(columns, 3 * columns))),
        out_(register_module("out", torch::nn::Linear(columns, columns))),
        attention_norm_(
            register_module("attention_norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({columns})))),
        first_(register_module("first", torch::nn::Linear(columns, feed_forward))),
        second_(register_module("second", torch::nn::Linear(feed_forward, columns))),
        feed_forward_norm_(register_module("feed_forward_norm",
                                           torch::nn::LayerNorm(torch::nn::LayerNormOptions({columns})))) {
    torch::nn::init::xavier_uniform_(qkv_->weight);
    torch::nn::init::zeros_(qkv_->bias);
    torch::nn::init::zeros_(out_->bias);
  }

  /// [B, L, columns] to the same. `visible` [B, 1, 1, L]: the steps that may be attended to; none given: all.
  torch::Tensor forward(const torch::Tensor& x, const std::optional<torch::Tensor>& visible) {
    const auto drop = [this](const torch::Tensor& y) { return torch::dropout(y, dropout_, is_training()); };
    const auto y = attention_norm_(x + drop(out_(attention(x, visible))));
    return feed_forward_norm_(y + drop(second_(drop(first_(y).relu_()))));
  }

 private:
  torch::Tensor attention(const torch::Tensor& x, const std::optional<torch::Tensor>& visible) {
    // [B, L, 3 columns] to Q, K, V [B, heads, L, columns / heads]
    const auto qkv = qkv_(x).unflatten(2, {3, heads_, x.size(2) / heads_}).permute({2, 0, 3, 1, 4});
    return torch::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], visible,
                                               is_training() ? dropout_ : 0.0)
        .transpose(1, 2)
        .flatten(2);
  }

  std::int64_t heads_;
  double dropout_;
  torch::nn::Linear qkv_;
  torch::nn::Linear out_;
  torch::nn::LayerNorm attention_norm_;
  torch::nn::Linear first_;
  torch::nn::Linear second_;
  torch::nn::LayerNorm feed_forward_norm_;
};
TORCH_MODULE(Layer);

class Transformer : public poise::Encoder {
 public:
  explicit Transformer(poise::Config& config)
      : width_(config.integer("width", 768, {.min = 1, .max = 65536}, "columns of the features")),
        heads_(config.integer("heads", 4, {.min = 1, .max = 1024}, "attention heads; they divide the width")),
        count_(config.integer("layers", 8, {.min = 1, .max = 1024}, "encoder layers")),
        feed_forward_(config.integer("feed_forward", 2048, {.min = 1, .max = 1048576},
                                     "units between a layer's two linear maps")),
        dropout_(config.number("dropout", 0.1, {.min = 0, .max = 0.99},
                               "probability that a unit or an attention weight is dropped in training")),
        readout_(config.choice("readout", "mean", {"mean", "first", "tokens"},
                               "the feature: the mean over the steps, the first step, or every step")),
        mask_(config.boolean("mask", true, "steps beyond a sample's length are not seen")),
        has_positions_(config.boolean("positions", false, "add sinusoids that tell a step's position")) {
    if (width_ % heads_ != 0) {
      config.fail("heads", "heads is " + std::to_string(heads_) + ", but must divide the width, which is " +
                               std::to_string(width_) + ".");
    }
  }

  void build(const poise::Modality& modality) override {
    const auto& shape = modality.shape;
    if (shape.size() != 2) {
      throw poise::Error("transformer reads sequences [L, F], and modality '" + modality.name +
                             "' is not one: choose another encoder for it",
                         poise::Fault::usage);
    }
    is_sequence_ = modality.is_sequence;
    projection_ = register_module("projection",
                                  torch::nn::Linear(torch::nn::LinearOptions(shape[1], width_).bias(false)));
    for (std::int64_t i = 1; i <= count_; ++i) {
      layers_.emplace_back(
          register_module("layer" + std::to_string(i), Layer(width_, heads_, feed_forward_, dropout_)));
    }
  }

  [[nodiscard]] std::int64_t width() const override { return width_; }
  [[nodiscard]] bool gives_tokens() const override { return readout_ == "tokens"; }

  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override {
    const bool masked = mask_ && lengths.defined();
    torch::Tensor padding;                 // [B, L, 1]
    std::optional<torch::Tensor> visible;  // [B, 1, 1, L]
    if (masked) {
      const auto steps = torch::arange(input.size(1), lengths.options());
      padding = steps.ge(lengths.unsqueeze(1)).unsqueeze(2);
      // A sample of no step sees one, for a softmax over nothing would be NaN.
      visible = steps.lt(lengths.clamp_min(1).unsqueeze(1)).unsqueeze(1).unsqueeze(1);
    }
    // NaN in the padding would reach the projection's gradient, so it is masked before.
    auto x = projection_(masked ? input.masked_fill(padding, 0) : input);
    if (has_positions_) x = x + positions(x);
    for (auto& layer : layers_) x = layer(x, visible);
    if (masked) x = x.masked_fill(padding, 0);
    return read(x, masked ? lengths : torch::Tensor());
  }

  [[nodiscard]] bool modes_agree() const override { return dropout_ == 0; }

  /// Zeros of one length give every sample the same. Zeros of several lengths do so where padding is read: all
  /// steps are then equal, and attention and mean over equal steps do not depend on how many there are. Under a
  /// mask a sample of no step differs from the others.
  [[nodiscard]] bool constant_when_absent() const override {
    return !is_sequence_ || (!mask_ && !has_positions_ && !gives_tokens());
  }

 private:
  /// From the last layer's [B, L, width], zero beyond `lengths` where they are defined. Of no step: zeros.
  [[nodiscard]] torch::Tensor read(const torch::Tensor& x, const torch::Tensor& lengths) const {
    if (gives_tokens()) return x;
    if (readout_ == "first") return x.narrow(1, 0, std::min<std::int64_t>(x.size(1), 1)).sum(1);
    if (lengths.defined()) return x.sum(1) / lengths.clamp_min(1).unsqueeze(1);
    return x.sum(1) / std::max<std::int64_t>(x.size(1), 1);
  }

  /// p [L, width], kept for the longest L so far.
  torch::Tensor positions(const torch::Tensor& x) {
    const auto L = x.size(1);
    if (!positions_.defined() || positions_.size(0) < L || positions_.device() != x.device() ||
        positions_.scalar_type() != x.scalar_type()) {
      const auto t = torch::arange(L, torch::kFloat64).unsqueeze(1);
      const auto exponent = torch::arange(0, width_, 2, torch::kFloat64) / width_;
      const auto angle = t / torch::pow(10000.0, exponent);
      positions_ =
          torch::stack({angle.sin(), angle.cos()}, 2).flatten(1).narrow(1, 0, width_).to(x.options());
    }
    return positions_.narrow(0, 0, L);
  }

  std::int64_t width_;
  std::int64_t heads_;
  std::int64_t count_;
  std::int64_t feed_forward_;
  double dropout_;
  std::string readout_;
  bool mask_;
  bool has_positions_;
  bool is_sequence_ = false;
  torch::nn::Linear projection_{nullptr};
  std::vector<Layer> layers_;
  torch::Tensor positions_;
};

}  // namespace

POISE_ENCODER(Transformer, "transformer", "transformer over the steps of a sequence, padding masked");
