// ReconBoost. C. Hua, Q. Xu, S. Bao, Z. Yang, Q. Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement", ICML
// 2024, arXiv:2405.09321.
//
// z_m: logits of modality m through the one head that all k share; C classes. Stage s = 0, 1, ... trains modality
// m = s mod k; the stage before trained p = (s - 1) mod k.
//
// Phase 1, encoder m and the head; all but z_m are constants:
//   q         = softmax(rate sum_{n != m} z_n)                                 the ensemble without m; in stage 0 q = 1
//   boosting  = mean over b and c of  (-w1 + w2 q_bc) y_bc log softmax(z_m)_bc
//             = mean over b of  (w1 - w2 q_by) (-log softmax(z_m)_by) / C
//   agreement = mean over b and c of  (softmax(z_m) - softmax(z_p))^2_bc      not in stage 0
//   loss      = boosting + alpha agreement
// Phase 2, all encoders, the head and the learnable rate:
//   loss      = L(rate sum_n z_n)
// Prediction: rate sum_n z_n over the modalities that are present.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include "poise/error.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::Subset;
using poise::Trainer;
using torch::Tensor;

class Head : public torch::nn::Module {
 public:
  Head(std::int64_t width, std::int64_t between, std::int64_t outputs)
      : hidden(register_module("hidden", torch::nn::Linear(width, between))),
        output(register_module("output", torch::nn::Linear(between, outputs))) {}

  Tensor forward(const Tensor& f) { return output(at::relu(hidden(f))); }

  torch::nn::Linear hidden;
  torch::nn::Linear output;
};

class Rate : public torch::nn::Module {
 public:
  explicit Rate(double start) : value(register_parameter("value", at::full({}, start, at::kFloat))) {}

  Tensor value;
};

class ReconBoost : public poise::Modulation {
 public:
  explicit ReconBoost(poise::Config& config)
      : boosting_passes_(config.integer("boosting_passes", 4, {.min = 1},
                                        "visits of the data in phase 1 of a stage; an epoch is one stage")),
        rectification_passes_(config.integer("rectification_passes", 4, {.min = 1},
                                             "visits of the data in phase 2 of a stage")),
        w1_(config.number("w1", 5.0, {.min = 0}, "weight of the cross-entropy in phase 1")),
        w2_(config.number("w2", 1.0, {.min = 0}, "how much less a sample weighs that the others have right")),
        alpha_(config.number("alpha", 0.5, {.min = 0},
                             "weight of the agreement with the modality of the stage before")),
        start_rate_(
            config.number("rate", 1.0, {.min = 0}, "the boost rate at the start, before it is learnt")),
        hidden_(config.integer("hidden", 256, {.min = 1}, "width of the head's hidden layer")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.replaces_fusion = true;
    needs.classification = true;
    needs.symmetric = false;  // in turn, and the head starts at random
    return needs;
  }

  void begin(Trainer& trainer) override {
    const poise::Network& network = trainer.network();
    for (int m = 1; m < network.modalities(); ++m) {
      if (network.width(m) != network.width(0)) refuse_widths(network, m);
    }
    head_ = std::make_shared<Head>(network.width(0), hidden_, network.outputs());
    rate_ = std::make_shared<Rate>(start_rate_);
    trainer.add_module("head", head_);
    trainer.add_module("rate", rate_);
  }

  void begin_epoch(Trainer& /*trainer*/) override { pass_ = -1; }
  std::int64_t passes(Trainer& /*trainer*/) override { return boosting_passes_ + rectification_passes_; }

  void step(const Batch& batch, Trainer& trainer) override {
    if (trainer.batch() == 0) ++pass_;
    if (pass_ < boosting_passes_) {
      boost(batch, trainer);
    } else {
      rectify(batch, trainer);
    }
  }

  Tensor predict(const Batch& batch, const std::vector<Subset>& subsets, Trainer& trainer) override {
    std::vector<Tensor> logits;
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      logits.push_back(head_->forward(trainer.network().encode(batch, m)));
    }
    std::vector<Tensor> result;
    for (const Subset subset : subsets) {
      Tensor sum = at::zeros_like(logits[0]);
      for (std::size_t m = 0; m < logits.size(); ++m) {
        if (subset.has(static_cast<int>(m))) sum = sum + logits[m];
      }
      result.push_back(rate_->value * sum);
    }
    return at::stack(result);
  }

  Tensor feature(const Batch& /*batch*/, Trainer& /*trainer*/) override { return {}; }

  void visit(poise::State& state) override { state.scalar("pass", pass_); }

 private:
  [[noreturn]] static void refuse_widths(const poise::Network& network, int m) {
    throw poise::Error(
        "reconboost has one head for all modalities, so that their encoders must have one width, but " +
            network.modality_name(0) + " has " + std::to_string(network.width(0)) + " and " +
            network.modality_name(m) + " " + std::to_string(network.width(m)) +
            ": give the encoders the same width.",
        poise::Fault::usage);
  }

  /// A step of phase 1.
  void boost(const Batch& batch, Trainer& trainer) {
    poise::Network& network = trainer.network();
    const poise::Objective& objective = trainer.objective();
    const int k = network.modalities();
    const std::int64_t stage = trainer.epoch();
    const int m = static_cast<int>(stage % k);
    std::vector<Tensor> updated = network.parameters(Role::encoder, m);
    for (const auto& parameter : head_->parameters()) updated.push_back(parameter);
    // The published code begins each phase with an optimizer of its own.
    if (trainer.batch() == 0 && pass_ == 0) trainer.optimizer().forget(updated);

    const Tensor z = head_->forward(network.encode(batch, m));
    Tensor weight;    // w1 - w2 q_by, [B]
    Tensor p_before;  // softmax(z_p)
    {
      const at::NoGradGuard no_grad;
      Tensor sum = at::zeros_like(z);
      for (int n = 0; n < k; ++n) {
        if (n == m) continue;
        // In stage 0 for the statistics of its BatchNorm alone.
        const Tensor z_n = head_->forward(network.encode(batch, n));
        sum = sum + z_n;
        if (n == (m + k - 1) % k) p_before = at::softmax(z_n, -1);
      }
      const Tensor q = objective.score(rate_->value * sum, batch.targets);
      weight = w1_ - w2_ * (stage == 0 ? at::ones_like(q) : q);
    }
    const Tensor boosting =
        (weight * objective.losses(z, batch.targets)).mean() / static_cast<double>(network.outputs());
    trainer.record("boosting", boosting.detach());
    if (stage == 0) {
      trainer.backward(boosting);
    } else {
      const Tensor agreement = (at::softmax(z, -1) - p_before).square().mean();
      trainer.record("agreement", agreement.detach());
      trainer.backward(boosting + alpha_ * agreement);
    }
    trainer.optimizer().step(updated);
  }

  /// A step of phase 2.
  void rectify(const Batch& batch, Trainer& trainer) {
    poise::Network& network = trainer.network();
    std::vector<Tensor> updated = network.parameters(Role::encoder);
    for (const auto& parameter : network.parameters(Role::own)) updated.push_back(parameter);
    if (trainer.batch() == 0 && pass_ == boosting_passes_) trainer.optimizer().forget(updated);

    Tensor sum = head_->forward(network.encode(batch, 0));
    for (int n = 1; n < network.modalities(); ++n) sum = sum + head_->forward(network.encode(batch, n));
    trainer.record("rate", rate_->value.detach().clone());
    trainer.backward(trainer.objective().loss(rate_->value * sum, batch));
    trainer.optimizer().step(updated);
  }

  std::int64_t boosting_passes_;
  std::int64_t rectification_passes_;
  double w1_;
  double w2_;
  double alpha_;
  double start_rate_;
  std::int64_t hidden_;
  std::shared_ptr<Head> head_;
  std::shared_ptr<Rate> rate_;
  std::int64_t pass_ = -1;  ///< visits of the data begun in this epoch, less one
};

}  // namespace

POISE_MODULATION(ReconBoost, "reconboost", "modalities boosted in turn, then rectified together (ICML 2024)");
