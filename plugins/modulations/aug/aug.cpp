// AUG, sustained boosting. Q. Jiang, L. Huang, Y. Yang, "Rethinking Multimodal Learning from the Perspective of
// Mitigating Classification Ability Disproportion", NeurIPS 2025.
//
// Two modalities and one head h for both. Modality m classifies its features f by an embedding (j = 0) and by the
// layers that it has been given since (j = 1 .. J), each a linear layer:
//
//   c_j  = h(relu(A_mj f + a_mj)),   z_m = sum_j c_j,   old = sum_{j < J} c_j,   new = c_J
//   loss = L(z_m)                                                                                     J = 0
//   loss = L(z_m) + L(old) + L(new) - residual mean_b softmax(old)_by (-log softmax(new)_by)          J > 0
//
// where softmax(old) is a constant. In each batch, for m = 0, 1 in turn: the loss with the head as the modality before
// left it, and an update of encoder m, its A_mj, a_mj and the head. After epoch e of E, where e = 0 or e + 1 is a
// multiple of max(floor(E / 10), 1), the weaker modality is given a layer:
//
//   s_m  = sum over the epoch of softmax(z_m)_by
//   s_0 / s_1 > 1 + tolerance: modality 1;   s_0 / s_1 < 1 - tolerance: modality 0
//
// Prediction: 0.4 z_0 + 0.6 z_1; of one modality alone z_m.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::Subset;
using poise::Trainer;
using torch::Tensor;

torch::nn::Linear make_layer(std::int64_t inputs, std::int64_t outputs) {
  torch::nn::Linear layer(inputs, outputs);
  torch::nn::init::xavier_normal_(layer->weight);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

/// How many layers each modality has been given. Kept with the weights, since those of the best epoch may be from
/// before the last layers were added, and then predict without them.
class Growth : public torch::nn::Module {
 public:
  Growth() : layers(register_buffer("layers", at::zeros({2}, at::kFloat))) {}

  Tensor layers;
};

class Aug : public poise::Modulation {
 public:
  explicit Aug(poise::Config& config)
      : hidden_(config.integer("hidden", 256, {.min = 1}, "width of the embeddings and of the added layers")),
        residual_(config.number("residual", 0.5, {.min = 0},
                                "how much the newest layer is spared what those before it have right")),
        tolerance_(config.number("tolerance", 0.01, {.min = 0},
                                 "a ratio of scores within 1 plus or minus this adds no layer")),
        weights_(
            config.numbers("weights", {0.4, 0.6}, {.min = 0}, "of the two modalities in the prediction")) {
    if (weights_.size() != 2 || std::find(weights_.begin(), weights_.end(), 0.0) != weights_.end()) {
      config.fail("weights", "modulation.weights must be two numbers greater than 0.");
    }
  }

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.max_modalities = 2;
    needs.replaces_fusion = true;
    needs.classification = true;
    needs.symmetric = false;  // in turn, and all modules start at random
    needs.backward_passes_per_step = 2;
    return needs;
  }

  void begin(Trainer& trainer) override {
    const poise::Network& network = trainer.network();
    growth_ = std::make_shared<Growth>();
    trainer.add_module("growth", growth_);
    for (int m = 0; m < 2; ++m) {
      auto& layers = layers_[static_cast<std::size_t>(m)];
      layers = {make_layer(network.width(m), hidden_)};
      trainer.add_module("embedding_" + network.modality_name(m), layers[0].ptr(), {m});
    }
    head_ = make_layer(hidden_, network.outputs());
    trainer.add_module("head", head_.ptr());
    scores_ = at::zeros({2}, head_->weight.options().dtype(at::kDouble).requires_grad(false));
    // After a resume, those that had been added.
    for (std::int64_t i = 0; i < added_; ++i) add_layer(static_cast<int>((order_ >> i) & 1), trainer);
  }

  void begin_epoch(Trainer& trainer) override {
    // Here and not when the epoch ended, so that no evaluation sees a layer that has not been trained.
    if (trainer.epoch() > 0 && is_checked(trainer.epoch() - 1, trainer.epochs())) grow(trainer);
    scores_.zero_();
  }

  void end_epoch(Trainer& trainer) override {
    trainer.record("ratio", scores_[0] / scores_[1]);
    trainer.record("layers", growth_->layers.clone());
  }

  void step(const Batch& batch, Trainer& trainer) override {
    poise::Network& network = trainer.network();
    for (int m = 0; m < 2; ++m) {
      const auto c = classifiers(network.encode(batch, m), m);
      trainer.backward(turn_loss(c, m, batch, trainer.objective()));
      std::vector<Tensor> updated = network.parameters(Role::encoder, m);
      for (const auto& parameter : network.parameters(Role::own, m)) updated.push_back(parameter);
      updated.push_back(head_->weight);
      updated.push_back(head_->bias);
      trainer.optimizer().step(updated);
    }
  }

  Tensor predict(const Batch& batch, const std::vector<Subset>& subsets, Trainer& trainer) override {
    std::array<Tensor, 2> z;
    for (int m = 0; m < 2; ++m) {
      const auto c = classifiers(trainer.network().encode(batch, m), m);
      Tensor sum = c[0];
      for (std::size_t j = 1; j < c.size(); ++j) {
        sum = sum + c[j] * growth_->layers[m].ge(static_cast<double>(j));
      }
      z[static_cast<std::size_t>(m)] = sum;
    }
    const Tensor both = (weights_[0] * z[0] + weights_[1] * z[1]) / (weights_[0] + weights_[1]);
    std::vector<Tensor> result;
    for (const Subset subset : subsets) {
      result.push_back(subset == Subset::all(2) ? both : subset.has(0) ? z[0] : z[1]);
    }
    return at::stack(result);
  }

  Tensor feature(const Batch& /*batch*/, Trainer& /*trainer*/) override { return {}; }

  void visit(poise::State& state) override {
    state.scalar("added", added_);
    state.scalar("order", order_);
    state.tensor("scores", scores_);
  }

 private:
  static bool is_checked(std::int64_t epoch, std::int64_t epochs) {
    return epoch == 0 || (epoch + 1) % std::max<std::int64_t>(epochs / 10, 1) == 0;
  }

  /// c_0 .. c_J, each [B, C].
  std::vector<Tensor> classifiers(const Tensor& f, int m) {
    std::vector<Tensor> c;
    for (auto& layer : layers_[static_cast<std::size_t>(m)]) c.push_back(head_(at::relu(layer(f))));
    return c;
  }

  Tensor turn_loss(const std::vector<Tensor>& c, int m, const Batch& batch,
                   const poise::Objective& objective) {
    Tensor old = c[0];
    for (std::size_t j = 1; j + 1 < c.size(); ++j) old = old + c[j];
    const Tensor& newest = c.back();
    const Tensor z = c.size() == 1 ? old : old + newest;
    scores_[m].add_(objective.score(z.detach(), batch.targets).sum(at::kDouble));
    if (c.size() == 1) return objective.loss(z, batch);
    const Tensor p_old = objective.score(old.detach(), batch.targets);  // [B]
    const Tensor right = (p_old * objective.losses(newest, batch.targets)).mean();
    return objective.loss(z, batch) + objective.loss(old, batch) + objective.loss(newest, batch) -
           residual_ * right;
  }

  /// Gives the weaker modality a layer.
  void grow(Trainer& trainer) {
    const auto ratio = (scores_[0] / scores_[1]).item<double>();
    if (ratio > 1 + tolerance_) {
      add_layer(1, trainer);
      order_ |= std::int64_t{1} << added_;
    } else if (ratio < 1 - tolerance_) {
      add_layer(0, trainer);
    } else {
      return;
    }
    ++added_;
  }

  void add_layer(int m, Trainer& trainer) {
    auto& layers = layers_[static_cast<std::size_t>(m)];
    const std::string name =
        "layer_" + trainer.network().modality_name(m) + "_" + std::to_string(layers.size());
    layers.push_back(make_layer(trainer.network().width(m), hidden_));
    trainer.add_module(name, layers.back().ptr(), {m});
    growth_->layers[m].fill_(static_cast<double>(layers.size() - 1));
  }

  std::int64_t hidden_;
  double residual_;
  double tolerance_;
  std::vector<double> weights_;
  std::array<std::vector<torch::nn::Linear>, 2> layers_;  ///< per modality the embedding, then those added
  torch::nn::Linear head_{nullptr};
  std::shared_ptr<Growth> growth_;
  Tensor scores_;           ///< s_m of the epoch so far, [2]
  std::int64_t added_ = 0;  ///< layers, of both modalities; at most 18
  std::int64_t order_ = 0;  ///< bit i: the modality of the i-th
};

}  // namespace

POISE_MODULATION(Aug, "aug",
                 "boosting of the weaker of two modalities by layers that are added (NeurIPS 2025)");
