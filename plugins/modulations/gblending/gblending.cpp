// Gradient-Blending. W. Wang, D. Tran, M. Feiszli, "What Makes Training Multi-Modal Classification Networks
// Hard?", CVPR 2020, arXiv:1905.12681.
//
// L: loss of the joint logits; L_m: loss of modality m's auxiliary head, a linear layer on its features. From time to
// time each modality alone (by L_m) and the joint model (by L) are trained for n epochs on probation. With their mean
// losses over the training (T) and the validation split (V), before (0) and after (n):
//
//   G    = L_V(0) - L_V(n)                                  what it learnt that generalises
//   O    = (L_V(n) - L_T(n)) - (L_V(0) - L_T(0))            by how much it overfits more
//   w    = |G| / max(|O|, 1e-4)^2,  divided by the sum over the k modalities and the joint model
//   loss = sum_m w_m L_m + w_joint L
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/heads.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Probe;
using poise::Trainer;
using torch::Tensor;

/// Keeps the weight of a model that does not overfit finite.
constexpr double least_overfitting = 1e-4;

/// w of each model.
std::vector<double> blend(const std::vector<Probe>& probes) {
  std::vector<double> w;
  double sum = 0;
  for (const auto& probe : probes) {
    const double g = probe.validation_before - probe.validation_after;
    const double o =
        (probe.validation_after - probe.train_after) - (probe.validation_before - probe.train_before);
    const double bounded = std::max(std::abs(o), least_overfitting);
    w.push_back(std::abs(g) / (bounded * bounded));
    sum += w.back();
  }
  // Where no model learnt anything, none is preferred.
  for (double& one : w) one = sum > 0 ? one / sum : 1 / static_cast<double>(probes.size());
  return w;
}

class Gblending : public poise::Modulation {
 public:
  explicit Gblending(poise::Config& config)
      : offline_(
            config.choice("mode", "online", {"online", "offline"},
                          "online: weights are estimated every super_epoch epochs; offline: once, before "
                          "the first") == "offline"),
        super_epoch_(config.integer("super_epoch", 10, {.min = 1}, "epochs from one estimate to the next")),
        probe_epochs_(
            config.integer("probe_epochs", 0, {.min = 0},
                           "length of a probe run; 0: the paper's, a super-epoch (online) or the whole "
                           "training (offline)")) {
    if (offline_ && config.has("super_epoch")) {
      config.fail(
          "super_epoch",
          "modulation.super_epoch has no use where modulation.mode is \"offline\": leave one of them out.");
    }
  }

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.extra_passes = true;
    needs.symmetric = false;  // every head has a random start of its own
    return needs;
  }

  void begin(Trainer& trainer) override { heads_ = poise::add_heads(trainer); }

  void begin_epoch(Trainer& trainer) override {
    const std::int64_t epoch = trainer.epoch();
    if (offline_ ? epoch > 0 : epoch % super_epoch_ != 0) return;
    auto& network = trainer.network();
    std::vector<Probe> probes;
    for (int m = 0; m < network.modalities(); ++m) {
      probes.push_back(trainer.probe(
          length(trainer), [&, m](const Batch& batch) { return unimodal_loss(batch, m, trainer); }));
      check(probes.back(), "'" + network.modality_name(m) + "' alone");
    }
    probes.push_back(
        trainer.probe(length(trainer), [&](const Batch& batch) { return Modulation::loss(batch, trainer); }));
    check(probes.back(), "the joint model");
    const auto device = network.parameters().front().device();
    const auto weights = blend(probes);
    weights_ = at::tensor(at::ArrayRef<double>(weights), at::kDouble).to(device);
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    const int k = trainer.network().modalities();
    std::vector<Tensor> losses;
    for (int m = 0; m < k; ++m) losses.push_back(unimodal_loss(batch, m, trainer));
    losses.push_back(Modulation::loss(batch, trainer));
    trainer.record("weight", weights_.slice(0, 0, k));
    trainer.record("joint_weight", weights_[k]);
    const Tensor all = at::stack(losses);
    return (weights_.to(all.scalar_type()) * all).sum();
  }

  void visit(poise::State& state) override { state.tensor("weights", weights_); }

 private:
  /// L_m.
  Tensor unimodal_loss(const Batch& batch, int m, Trainer& trainer) {
    const Tensor feature = trainer.network().encode(batch, m);
    return trainer.objective().loss(heads_[static_cast<std::size_t>(m)]->forward(feature), batch);
  }

  /// n.
  std::int64_t length(const Trainer& trainer) const {
    if (probe_epochs_ > 0) return probe_epochs_;
    return offline_ ? trainer.epochs() : super_epoch_;
  }

  static void check(const Probe& probe, const std::string& model) {
    const double sum =
        probe.train_before + probe.validation_before + probe.train_after + probe.validation_after;
    if (std::isfinite(sum)) return;
    throw poise::Error("the probe run of " + model +
                       " has a loss that is not finite: lower train.optimizer.lr or set train.clip.");
  }

  bool offline_;
  std::int64_t super_epoch_;
  std::int64_t probe_epochs_;
  std::vector<torch::nn::Linear> heads_;
  Tensor weights_;  ///< w, [k + 1], the joint model's last; undefined before the first estimate
};

}  // namespace

POISE_MODULATION(Gblending, "gblending",
                 "losses of modalities and joint model blended by how they overfit (CVPR 2020)");
