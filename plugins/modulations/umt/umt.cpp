// Uni-Modal Teacher. C. Du, J. Teng, T. Li, Y. Liu, T. Yuan, Y. Wang, Y. Yuan, H. Zhao, "On Uni-Modal Feature Learning
// in Supervised Multi-Modal Learning", ICML 2023, arXiv:2305.01233.
//
// f_m: features of encoder m, [B, d_m]; t_m: those of the same encoder trained on modality m alone and frozen, of the
// same samples.
//
//   loss = L(z) + lambda sum_m mean over b and j of (f_m - t_m)^2_bj
//
// No gradient reaches a teacher, and none but that of L(z) the fusion.
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

class Umt : public poise::Modulation {
 public:
  explicit Umt(poise::Config& config)
      : lambda_(config.number("lambda", 10.0, {.min = 0},
                              "weight of the distance to the teachers' features; 0: joint training")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.teachers = lambda_ > 0;
    needs.symmetric = lambda_ == 0;  // every teacher has a random start of its own
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "lambda = 0.0"; }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    Tensor joint = Modulation::loss(batch, trainer);
    if (lambda_ == 0) return joint;
    std::vector<Tensor> distances;
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      const Tensor f = trainer.network().encode(batch, m);
      const Tensor t = trainer.teacher_feature(batch, m).detach();
      distances.push_back(at::mse_loss(f, t));
    }
    const Tensor distillation = at::stack(distances);
    trainer.record("distillation", distillation.detach());
    return joint + lambda_ * distillation.sum();
  }

 private:
  double lambda_;
};

}  // namespace

POISE_MODULATION(Umt, "umt", "features are drawn to those of frozen uni-modal teachers (ICML 2023)");
