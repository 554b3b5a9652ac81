// Adaptive Gradient Modulation. H. Li, X. Li, P. Hu, Y. Lei, C. Li, Y. Zhou, "Boosting Multi-modal Model
// Performance with Adaptive Gradient Modulation", ICCV 2023, arXiv:2308.07686.
//
// z_S: logits with the inputs outside the subset S absent; M: all k modalities; z = z_M; y: the true class.
//
//   phi_m  = sum over S containing m of  (|S|-1)! (k-|S|)! / k!  (z_S - z_{S\m}),  z_{} = 0    response (Shapley)
//   l_m    = mean over the batch of  -log max(softmax(phi_m)[y], 1e-8)                         strength
//   r_m    = exp(k/(k-1) (mean_n l_n - l_m)),   tau_m = the same of the running means of l     ratio, reference
//   kappa_m = exp(alpha min(tau_m - r_m, cap))
//   the loss is L(z), and the gradient that enters phi_m is multiplied by kappa_m
//
// Since phi is linear in z_S and the phi_m sum to z, the gradient that enters z_S is c_S dL/dz with
//
//   c_S = [ sum over m in S of (|S|-1)! (k-|S|)! kappa_m  -  sum over m not in S of |S|! (k-|S|-1)! kappa_m ] / k!
//
// and c_M = 1, c_S = 0 exactly when every kappa is 1: integers and one division.
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/epoch_window.h"
#include "poise/modulation.h"
#include "poise/plugin.h"
#include "poise/shapley.h"

namespace {

using poise::Batch;
using poise::Subset;
using poise::Trainer;
using torch::Tensor;

class Agm : public poise::Modulation {
 public:
  explicit Agm(poise::Config& config)
      : alpha_(config.number("alpha", 1.0, {.min = 0}, "strength of the modulation; 0: joint training")),
        cap_(config.number("cap", 10.0, {.min = 0}, "largest tau - r; without one, kappa can overflow")),
        clip_(
            config.number("clip", 1.0, {.min = 0},
                          "clips the norm of all gradients to this value in a step in which an entry of the "
                          "head's weight gradient exceeds it; 0: never")),
        stays_(
            config.boolean("stays", false,
                           "after the window kappa keeps its last value, as in the published code, instead "
                           "of returning to 1")),
        window_(poise::EpochWindow::read(config, {0, 20})) {}

  poise::Requirements requirements(int k) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.subsets_per_step = alpha_ == 0 ? 1 : (std::int64_t{1} << k) - 1;
    return needs;
  }

  std::optional<std::string> neutral_options() const override { return "alpha = 0.0\nclip = 0.0"; }

  void begin(Trainer& trainer) override {
    const int k = trainer.network().modalities();
    subsets_.clear();
    for (std::uint32_t bits = 1; bits <= Subset::all(k).bits; ++bits) subsets_.push_back({bits});
    const auto options = trainer.network().parameters().front().options().requires_grad(false);
    table_ = poise::shapley_numerators(k).to(options.device());
    // phi = shapley z: the transposed table over k!, [k, S].
    shapley_ = (table_.t() / poise::factorial(k)).to(options.dtype());
    sum_ = at::zeros({k}, options.dtype(at::kDouble));
    kappa_ = at::ones({k}, options.dtype(at::kDouble));
    head_weights_.clear();
    for (const auto& parameter : trainer.network().parameters(poise::Role::head)) {
      if (parameter.dim() > 1) head_weights_.push_back(parameter);
    }
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    const bool in_window = window_.holds(trainer.epoch());
    const bool modulated = in_window || (stays_ && trainer.epoch() > window_.last);
    if (alpha_ == 0 || !modulated) return Modulation::loss(batch, trainer);

    const Tensor z = trainer.network().logits(batch, subsets_);  // [S, B, C], the full set last
    if (in_window) update_kappa(z.detach(), batch, trainer);
    trainer.record("kappa", kappa_);
    const Tensor c = at::matmul(table_, kappa_) / poise::factorial(trainer.network().modalities());
    // Its value is that of the full logits, bit for bit; its gradient into z_S is c_S.
    const Tensor routed = z[-1].detach() + (c.to(z.dtype()).view({-1, 1, 1}) * (z - z.detach())).sum(0);
    return trainer.objective().loss(routed, batch);
  }

  void modulate(const Batch& /*batch*/, Trainer& trainer) override {
    if (clip_ == 0) return;
    Tensor exceeds;
    for (const auto& weight : head_weights_) {
      if (!weight.grad().defined()) continue;
      const Tensor one = weight.grad().abs().max() > clip_;
      exceeds = exceeds.defined() ? exceeds.logical_or(one) : one;
    }
    if (!exceeds.defined()) return;
    trainer.record("clipped", exceeds);
    poise::clip_gradients(trainer.network().parameters(), clip_, exceeds);
  }

  void visit(poise::State& state) override {
    state.scalar("steps", steps_);
    state.tensor("strength_sum", sum_);
    state.tensor("kappa", kappa_);
  }

 private:
  void update_kappa(const Tensor& z, const Batch& batch, Trainer& trainer) {
    const std::int64_t k = shapley_.size(0);
    const Tensor phi = at::matmul(shapley_, z.flatten(1)).view({k, z.size(1), z.size(2)});
    const Tensor targets = at::stack(std::vector<Tensor>(static_cast<std::size_t>(k), batch.targets));
    // Of classes the loss is -log p. Of other tasks, which the paper does not treat, it is the task's own.
    const Tensor losses = trainer.objective().losses(phi, targets).clamp_max(-std::log(1e-8));
    const Tensor strength = losses.mean(1, false, at::kDouble);  // l, [k]

    const double power = static_cast<double>(k) / static_cast<double>(k - 1);
    const Tensor r = (power * (strength.mean() - strength)).exp();
    // The running mean excludes the current batch, so that there is none in the first step.
    const Tensor running = sum_ / static_cast<double>(std::max<std::int64_t>(steps_, 1));
    const Tensor tau = (power * (running.mean() - running)).exp();
    kappa_ = (alpha_ * (tau - r).clamp_max(cap_)).exp();
    trainer.record("tau", tau);
    trainer.record("r", r);
    sum_ = sum_ + strength;
    ++steps_;
  }

  double alpha_;
  double cap_;
  double clip_;
  bool stays_;
  poise::EpochWindow window_;

  std::vector<Subset> subsets_;  ///< every non-empty one, the full set last
  Tensor table_;
  Tensor shapley_;
  std::vector<Tensor> head_weights_;
  std::int64_t steps_ = 0;  ///< in which kappa was computed
  Tensor sum_;              ///< of the strengths over those steps, [k]
  Tensor kappa_;            ///< [k]
};

}  // namespace

POISE_MODULATION(Agm, "agm", "adaptive gradient modulation by Shapley responses, for any fusion (ICCV 2023)");
