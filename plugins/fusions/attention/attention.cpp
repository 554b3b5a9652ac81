// Attention among the tokens of all modalities: a transformer encoder (A. Vaswani et al., "Attention Is All You
// Need", NeurIPS 2017) with LayerNorm before each part (R. Xiong et al., "On Layer Normalization in the Transformer
// Architecture", ICML 2020), read at a class token and with GELU, as A. Dosovitskiy et al., "An Image is Worth
// 16x16 Words", ICLR 2021, have it. f_mi is token i of modality m; features [B, d] are one token.
//
//   t_mi = P_m f_mi + e_m + s_i                          s_i only where the modality comes as tokens
//   s_i = [sin(i r_0), cos(i r_0), sin(i r_1), ...]      r_j = 10000^(-2j / width)
//   x = [c, t_10, t_11, ..., t_20, ..., t_k0, ...]
//   in each layer:
//     n = LN(x),  y = x + drop(O heads(Q n, K n, V n))   per head softmax(q k^T / sqrt(width / heads)) v
//     x = y + drop(W_2 drop(gelu(W_1 LN(y) + b_1)) + b_2)
//   feature = LN(x)[c]
//   z = W feature + b
//
// A token beyond its sample's length is no key: its weight in the softmax is exactly 0.
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "poise/fusion.h"
#include "poise/plugin.h"

namespace {

torch::nn::Linear matrix(std::int64_t in, std::int64_t out) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
}

torch::nn::LayerNorm norm_of(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions(std::vector<std::int64_t>{width}));
}

/// s_i for tokens [B, T, width], as [T, width].
torch::Tensor positions(const torch::Tensor& tokens) {
  const auto width = tokens.size(2);
  const auto options = tokens.options().dtype(torch::kFloat64);
  const auto rates = torch::pow(10000, torch::arange(0, width, 2, options) / -static_cast<double>(width));
  const auto angles = torch::arange(tokens.size(1), options).unsqueeze(1) * rates;  // [T, ceil(width / 2)]
  const auto pairs = torch::stack({angles.sin(), angles.cos()}, 2).flatten(1);
  return pairs.narrow(1, 0, width).to(tokens.scalar_type());
}

/// [B, T], true where token t of features [B, T, d] is one of its sample's.
torch::Tensor present(const torch::Tensor& features, const torch::Tensor& lengths) {
  const auto B = features.size(0);
  const auto T = features.size(1);
  if (!lengths.defined()) return torch::ones({B, T}, features.options().dtype(torch::kBool));
  return torch::arange(T, lengths.options()).lt(lengths.unsqueeze(1));
}

class LayerImpl : public torch::nn::Module {
 public:
  LayerImpl(std::int64_t width, std::int64_t heads, std::int64_t feedforward, double dropout)
      : heads_(heads),
        attention_norm_(register_module("attention_norm", norm_of(width))),
        query_(register_module("query", matrix(width, width))),
        key_value_(register_module("key_value", matrix(width, 2 * width))),
        output_(register_module("output", matrix(width, width))),
        feedforward_norm_(register_module("feedforward_norm", norm_of(width))),
        first_(register_module("first", torch::nn::Linear(width, feedforward))),
        second_(register_module("second", torch::nn::Linear(feedforward, width))),
        dropout_(register_module("dropout", torch::nn::Dropout(dropout))) {}

  /// The first `wanted` of the tokens x [B, S, width] after this layer. Keys are those where `mask` [B, 1, 1, S]
  /// is true; without a mask all.
  torch::Tensor forward(const torch::Tensor& x, std::int64_t wanted,
                        const std::optional<torch::Tensor>& mask) {
    const auto n = attention_norm_(x);
    const auto kv = key_value_(n).chunk(2, 2);
    const auto attended = at::scaled_dot_product_attention(by_head(query_(n.narrow(1, 0, wanted))),
                                                           by_head(kv[0]), by_head(kv[1]), mask);
    const auto y = x.narrow(1, 0, wanted) + dropout_(output_(attended.transpose(1, 2).flatten(2)));
    return y + dropout_(second_(dropout_(torch::gelu(first_(feedforward_norm_(y))))));
  }

 private:
  /// [B, S, width] to [B, heads, S, width / heads].
  [[nodiscard]] torch::Tensor by_head(const torch::Tensor& x) const {
    return x.unflatten(2, {heads_, -1}).transpose(1, 2);
  }

  std::int64_t heads_;
  torch::nn::LayerNorm attention_norm_;
  torch::nn::Linear query_;      // Q
  torch::nn::Linear key_value_;  // K above V
  torch::nn::Linear output_;     // O
  torch::nn::LayerNorm feedforward_norm_;
  torch::nn::Linear first_;   // W_1, b_1
  torch::nn::Linear second_;  // W_2, b_2
  torch::nn::Dropout dropout_;
};
TORCH_MODULE(Layer);

class Attention : public poise::Fusion {
 public:
  explicit Attention(poise::Config& config)
      : width_(config.integer("width", 128, {.min = 1, .max = 65536}, "columns of a token")),
        depth_(config.integer("layers", 1, {.min = 1, .max = 128}, "layers of the transformer")),
        heads_(config.integer("heads", 4, {.min = 1, .max = 1024}, "heads of a layer; must divide width")),
        feedforward_(config.integer("feedforward", 4, {.min = 1, .max = 64},
                                    "hidden units of a layer's feed-forward part, in widths")),
        dropout_(
            config.number("dropout", 0.0, {.min = 0, .max = 0.99},
                          "probability that an output of attention or a unit of the feed-forward part is "
                          "dropped in training")) {
    if (width_ % heads_ != 0) {
      config.fail("heads", "fusion.heads is " + std::to_string(heads_) +
                               ", but must divide fusion.width, which is " + std::to_string(width_) + ".");
    }
  }

  void build(const poise::FusionSpec& spec) override {
    class_token_ = register_parameter("class_token", 0.02 * torch::randn({width_}));
    for (std::size_t m = 0; m < spec.widths.size(); ++m) {
      const auto& name = spec.modalities[m];
      projections_.emplace_back(register_module("projection_" + name, matrix(spec.widths[m], width_)));
      embeddings_.push_back(register_parameter("embedding_" + name, 0.02 * torch::randn({width_})));
      set_role(projections_.back()->weight, poise::Role::bypass, {static_cast<int>(m)});
      set_role(embeddings_.back(), poise::Role::bypass, {static_cast<int>(m)});
    }
    for (std::int64_t i = 0; i < depth_; ++i) {
      layers_.emplace_back(register_module("layer" + std::to_string(i + 1),
                                           Layer(width_, heads_, feedforward_ * width_, dropout_)));
    }
    norm_ = register_module("norm", norm_of(width_));
    head_ = register_module("head", torch::nn::Linear(width_, spec.task.outputs));
    for (const auto& parameter : head_->parameters()) set_role(parameter, poise::Role::head);
  }

  [[nodiscard]] bool takes_tokens() const override { return true; }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& lengths) override {
    const auto B = features[0].size(0);
    std::vector<torch::Tensor> tokens = {class_token_.expand({B, 1, width_})};
    std::vector<torch::Tensor> keys = {present(tokens[0], {})};
    bool is_padded = false;
    for (std::size_t m = 0; m < features.size(); ++m) {
      const bool is_sequence = features[m].dim() == 3;
      auto f = is_sequence ? features[m] : features[m].unsqueeze(1);
      keys.push_back(present(f, lengths[m]));
      if (lengths[m].defined()) {
        is_padded = true;
        // A weight of 0 hides any number, but no NaN.
        f = f.masked_fill(keys.back().logical_not().unsqueeze(2), 0);
      }
      const auto t = projections_[m](f) + embeddings_[m];
      tokens.push_back(is_sequence ? t + positions(t) : t);
    }
    std::optional<torch::Tensor> mask;
    if (is_padded) mask = torch::cat(keys, 1).unsqueeze(1).unsqueeze(1);

    auto x = torch::cat(tokens, 1);
    // Of the last layer's output the class token alone is read.
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const std::int64_t wanted = i + 1 == layers_.size() ? 1 : x.size(1);
      x = layers_[i](x, wanted, mask);
    }
    const auto feature = norm_(x.select(1, 0));
    return {.logits = head_(feature), .feature = feature};
  }

  [[nodiscard]] bool modes_agree() const override { return dropout_ == 0; }

 private:
  std::int64_t width_;
  std::int64_t depth_;
  std::int64_t heads_;
  std::int64_t feedforward_;
  double dropout_;
  torch::Tensor class_token_;                   // c [width]
  std::vector<torch::nn::Linear> projections_;  // P_m [width, d_m]
  std::vector<torch::Tensor> embeddings_;       // e_m [width]
  std::vector<Layer> layers_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace

POISE_FUSION(Attention, "attention", "a transformer over the tokens of all modalities; not additive");
