// On-the-fly Gradient Modulation with Generalization Enhancement. X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu,
// "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR 2022, arXiv:2203.15332.
//
// Two modalities m and n, and a fusion whose logits are a sum of shares:
//
//   s_m     = sum over the batch of softmax(f_m W_m^T + b/2)[y]
//   rho_m   = s_m / s_n
//   kappa_m = 1 - tanh(alpha rho_m) if rho_m > 1, else 1
//   g      <- kappa_m g + e,  e ~ N(0, (std(g) + 1e-8)^2) per entry, for each convolution of encoder m
//
// std(g) is that of the gradient before it is scaled. The noise e is GE; it is added where kappa is 1, too.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/epoch_window.h"
#include "poise/error.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

class OgmGe : public poise::Modulation {
 public:
  explicit OgmGe(poise::Config& config)
      : alpha_(config.number("alpha", poise::required, {.min = 0},
                             "strength of the modulation; 0: every coefficient is 1")),
        enhancement_(config.boolean("enhancement", true, "adds the noise (OGM-GE); false: OGM")),
        all_(config.choice("parameters", "convolutions", {"convolutions", "all"},
                           "of the encoders: weights of 2-D convolutions as in the published code, or every "
                           "parameter of more than one dimension") == "all"),
        window_(poise::EpochWindow::read(config, {0, 50})) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    // The noise of one modality is not the other's.
    return {.min_modalities = 2, .max_modalities = 2, .additive_fusion = true, .symmetric = !enhancement_};
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override {
    return "alpha = 0.0\nenhancement = false";
  }

  void begin(Trainer& trainer) override {
    for (int m = 0; m < 2; ++m) {
      auto& modulated = modulated_[static_cast<std::size_t>(m)];
      modulated.clear();
      for (const auto& parameter : trainer.network().parameters(poise::Role::encoder, m)) {
        if (all_ ? parameter.dim() > 1 : parameter.dim() == 4) modulated.push_back(parameter);
      }
      if (modulated.empty()) refuse(trainer.network().modality_name(m));
    }
  }

  void modulate(const Batch& batch, Trainer& trainer) override {
    if (!window_.holds(trainer.epoch())) return;
    const at::NoGradGuard no_grad;
    const auto s = at::stack({confidence(batch, 0, trainer), confidence(batch, 1, trainer)});
    const auto rho = s / s.flip(0);
    const auto kappa = at::where(rho > 1, 1 - at::tanh(alpha_ * rho), 1.0);
    trainer.record("rho", rho);
    trainer.record("kappa", kappa);
    for (std::size_t m = 0; m < 2; ++m) {
      const auto kappa_m = kappa[static_cast<std::int64_t>(m)];
      for (auto& parameter : modulated_[m]) {
        if (parameter.grad().defined()) rewrite(parameter.mutable_grad(), kappa_m);
      }
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& modality) const {
    if (all_) {
      throw poise::Error("ogm_ge modulates parameters of more than one dimension, and the encoder of '" +
                             modality + "' has none: choose another encoder",
                         poise::Fault::usage);
    }
    throw poise::Error("ogm_ge modulates convolutions, and the encoder of '" + modality +
                           "' has none: set modulation.parameters = \"all\", or choose another encoder",
                       poise::Fault::usage);
  }

  /// s_m.
  static Tensor confidence(const Batch& batch, int m, Trainer& trainer) {
    return trainer.objective().score(trainer.network().share(batch, m), batch.targets).sum(at::kDouble);
  }

  void rewrite(Tensor& g, const Tensor& kappa) const {
    // A single entry has no deviation.
    if (!enhancement_ || g.numel() < 2) {
      g.mul_(kappa);
      return;
    }
    const auto deviation = g.std() + 1e-8;
    // Drawn in the order of the indices, so that the layout of g does not matter.
    const auto noise = at::randn(g.sizes(), g.options());
    g.mul_(kappa).addcmul_(noise, deviation);
  }

  double alpha_;
  bool enhancement_;
  bool all_;
  poise::EpochWindow window_;
  std::array<std::vector<Tensor>, 2> modulated_;  ///< parameters per modality
};

}  // namespace

POISE_MODULATION(OgmGe, "ogm_ge", "on-the-fly gradient modulation of two modalities, with noise (CVPR 2022)");
