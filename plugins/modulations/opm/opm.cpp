// On-the-fly Prediction Modulation. Y. Wei, D. Hu, H. Du, J.-R. Wen, "On-the-fly Modulation for Balanced Multimodal
// Learning", IEEE TPAMI 2024.
//
// z_m: modality m's share of the logits of an additive fusion, y: the true class, d_m: the width of f_m. Per batch:
//
//   s_m   = sum over the batch of softmax(z_m)[y]
//   rho_m = tanh(max(s_m / s_n - 1, 0)),  s_n of the other modality; of several their mean, or their sum
//   q_m   = clip(q_base (1 + lambda rho_m), 0, 1) where rho_m > 0, else 0          without gradient
//
// and with probability p_exe (else the batch is joint training's), per sample:
//
//   b_m ~ Bernoulli(1 - q_m)
//   f_m <- b_m f_m / (1 - theta),  theta = sum_m d_m q_m / sum_m d_m
//
// A sample that keeps no modality leaves the batch. (The weakest modality has q = 0, so that none does, but for the
// rounding of equal scores of many modalities.)
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "masked_loss.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

class Opm : public poise::Modulation {
 public:
  explicit Opm(poise::Config& config)
      : q_base_(config.number("q_base", 0.5, {.min = 0, .max = 1},
                              "probability with which a barely stronger modality is dropped")),
        lambda_(config.number("lambda", 0.5, {.min = 0}, "how much a larger lead raises it")),
        p_exe_(config.number("p_exe", 0.7, {.min = 0, .max = 1},
                             "probability with which a batch is modulated; 0: joint training")),
        warmup_(config.integer("warmup", 6, {.min = 0}, "epochs of joint training at first")),
        sum_(config.choice("others", "mean", {"mean", "sum"},
                           "of more than two modalities: a score is compared with the mean of the others' or "
                           "with their sum") == "sum") {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.additive_fusion = true;
    needs.symmetric = false;  // the masks of one modality are not the other's
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "p_exe = 0.0"; }

  void begin(Trainer& trainer) override {
    auto& network = trainer.network();
    const std::int64_t k = network.modalities();
    const auto options = network.parameters().front().options().requires_grad(false).dtype(at::kDouble);
    others_ = at::ones({k, k}, options) - at::eye(k, options);
    std::vector<double> widths;
    for (int m = 0; m < k; ++m) widths.push_back(static_cast<double>(network.width(m)));
    const Tensor d = at::tensor(at::ArrayRef<double>(widths), at::kDouble).to(options.device());
    width_ = d / d.sum();
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    if (p_exe_ == 0 || trainer.epoch() < warmup_) return Modulation::loss(batch, trainer);
    // The encoders run before anything is drawn here, so that their dropout is that of a batch left alone.
    trainer.network().features(batch);
    if (at::rand({1}, at::kDouble).item<double>() >= p_exe_) return Modulation::loss(batch, trainer);
    const Tensor q = drop_probabilities(batch, trainer);
    const Tensor theta = (width_ * q).sum();
    const Tensor b = at::bernoulli((1 - q).expand({batch.size(), q.size(0)}));
    return opm::masked_loss(batch, b, theta, trainer);
  }

 private:
  /// q, [k] float64.
  Tensor drop_probabilities(const Batch& batch, Trainer& trainer) const {
    std::vector<Tensor> scores;
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      const Tensor z_m = trainer.network().share(batch, m).detach();
      scores.push_back(trainer.objective().score(z_m, batch.targets).sum(at::kDouble));
    }
    const Tensor s = at::stack(scores);
    const double count = sum_ ? 1 : static_cast<double>(s.size(0) - 1);
    const Tensor other = at::mv(others_, s) / count;
    const Tensor rho = at::where(s > other, at::tanh((s / other - 1).clamp_min(0)), 0.0);
    const Tensor q = at::where(rho > 0, (q_base_ * (1 + lambda_ * rho)).clamp(0, 1), 0.0);
    trainer.record("rho", rho);
    trainer.record("q", q);
    return q;
  }

  double q_base_;
  double lambda_;
  double p_exe_;
  std::int64_t warmup_;
  bool sum_;
  Tensor others_;  ///< [k, k]: 1 beside the diagonal
  Tensor width_;   ///< [k]: d_m / sum of all
};

}  // namespace

POISE_MODULATION(Opm, "opm",
                 "drops features of the stronger modality, sample by sample, on the fly (TPAMI 2024)");
