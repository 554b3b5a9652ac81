// Modality-specific early stopping. N. Fujimori et al., "Modality-Specific Learning Rate Control for
// Multimodal Classification", ACPR 2019, as the authors of AGM run it (H. Li et al., ICCV 2023). At the end
// of epoch e, from 0:
//
//   L_m(e) = mean loss of modality m's share of the logits over the validation split
//   l_m(e) = 0.6 L_m(e - 1) + 0.4 L_m(e),  l_m(0) = L_m(0)         the epoch before as it was, not smoothed
//
//   1. where l_m(e) is smaller than every earlier one:  best_m = e, and the whole model and the optimizer's
//      state are kept as the snapshot of m
//   2. where m is not frozen and e - best_m > patience:  encoder m and head m are frozen, and the snapshot of
//      m comes back, all modalities' parts
//   3. where every modality is frozen, training stops
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"
#include "poise/shares.h"

namespace {

using poise::Batch;
using poise::Network;
using poise::Role;
using poise::Trainer;
using torch::Tensor;

/// L, [k], on the CPU.
Tensor validation_losses(Trainer& trainer) {
  return poise::mean_over_shares(trainer, poise::Split::validation,
                                 [&](const Tensor& share, const Batch& batch) {
                                   return trainer.objective().losses(share, batch.targets);
                                 });
}

class Mses : public poise::Modulation {
 public:
  explicit Mses(poise::Config& config)
      : patience_(config.integer("patience", 10, {.min = 0, .max = 1000000},
                                 "a modality is frozen after more epochs than these without a lower "
                                 "validation loss")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.additive_fusion = true;
    needs.extra_passes = true;
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "patience = 1000000"; }

  void begin(Trainer& trainer) override {
    const int k = trainer.network().modalities();
    before_ = Tensor();
    lowest_ = at::full({k}, std::numeric_limits<double>::infinity(), at::kDouble);
    best_ = at::full({k}, -1, at::kLong);
    frozen_ = at::zeros({k}, at::kBool);
  }

  void end_epoch(Trainer& trainer) override {
    const Tensor now = validation_losses(trainer);
    const Tensor smoothed = before_.defined() ? 0.6 * before_ + 0.4 * now : now;
    before_ = now;
    // The first epoch is the best so far whatever its loss, so that there is a snapshot to come back.
    const Tensor better = (smoothed < lowest_).logical_or(best_ < 0);
    lowest_ = at::where(better, smoothed, lowest_);
    best_ = best_.masked_fill(better, trainer.epoch());
    keep(better, trainer);
    freeze(trainer);
    trainer.record("validation_loss", now);
    trainer.record("frozen", frozen_);
  }

  void visit(poise::State& state) override {
    state.tensor("losses_before", before_);
    state.tensor("lowest", lowest_);
    state.tensor("best", best_);
    state.tensor("frozen", frozen_);
  }

 private:
  static std::string snapshot_of(const Network& network, int m) { return "best_" + network.modality_name(m); }

  /// Step 1. A frozen modality's snapshot is not asked for again.
  void keep(const Tensor& better, Trainer& trainer) const {
    const Tensor kept = better.logical_and(frozen_.logical_not());
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      if (kept[m].item<bool>()) trainer.snapshot(snapshot_of(trainer.network(), m));
    }
  }

  /// Steps 2 and 3.
  void freeze(Trainer& trainer) {
    Network& network = trainer.network();
    const Tensor waited = trainer.epoch() - best_;
    const Tensor done = (waited > patience_).logical_and(frozen_.logical_not());
    for (int m = 0; m < network.modalities(); ++m) {
      if (!done[m].item<bool>()) continue;
      trainer.optimizer().freeze(network.parameters(Role::encoder, m));
      trainer.optimizer().freeze(network.parameters(Role::head, m));
      trainer.restore(snapshot_of(network, m));
    }
    frozen_ = frozen_.logical_or(done);
    if (frozen_.all().item<bool>()) trainer.stop();
  }

  std::int64_t patience_;

  // Per modality, [k].
  Tensor before_;  ///< L of the epoch before; undefined in the first
  Tensor lowest_;  ///< l of the best epoch
  Tensor best_;    ///< the epoch, int64
  Tensor frozen_;  ///< bool
};

}  // namespace

POISE_MODULATION(Mses, "mses", "early stopping for each modality, by its own validation loss (ACPR 2019)");
