// Modality-specific learning rates. Y. Yao, R. Mihalcea, "Modality-specific Learning Rates for Effective
// Multimodal Additive Late-fusion", Findings of ACL 2022, as the authors of AGM run it (H. Li et al., ICCV
// 2023). Epochs from 0:
//
//   acc_m(e)    = accuracy of modality m's share of the logits over the validation split, after epoch e
//   rho_m(e)    = acc_m(e) / mean(acc_m(e - window), ..., acc_m(e - 1))
//                 1 where there are fewer epochs, or their mean is 0
//   factor_m(e) = c_m rho_m(e - 1),  factor_m(0) = c_m
//
// factor_m(e) multiplies the learning rate of encoder m and of head m in epoch e. Of labels and of numbers,
// which the paper does not treat, acc_m is the mean of the objective's score.
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/modulation.h"
#include "poise/plugin.h"
#include "poise/shares.h"

namespace {

using poise::Batch;
using poise::Network;
using poise::Role;
using poise::Trainer;
using torch::Tensor;

/// acc, [k], on the CPU.
Tensor accuracies(Trainer& trainer) {
  const auto& objective = trainer.objective();
  return poise::mean_over_shares(
      trainer, poise::Split::validation, [&](const Tensor& share, const Batch& batch) {
        // Only the targets of classes are whole numbers.
        return batch.targets.is_floating_point() ? objective.score(share, batch.targets)
                                                 : objective.correct(share, batch.targets);
      });
}

class Mslr : public poise::Modulation {
 public:
  explicit Mslr(poise::Config& config)
      : given_(config.numbers("c", {}, {.min = 0},
                              "factor on each modality's learning rate, in the order of the modalities; "
                              "empty: all 1")),
        window_(config.integer("window", 5, {.min = 0, .max = 10000},
                               "how many earlier epochs an accuracy is compared with; 0: rates stay at c")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.additive_fusion = true;
    needs.extra_passes = window_ > 0;
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "window = 0"; }

  void begin(Trainer& trainer) override {
    const int k = trainer.network().modalities();
    if (!given_.empty() && given_.size() != static_cast<std::size_t>(k)) {
      throw poise::Error("modulation.c has " + std::to_string(given_.size()) + " numbers, and this run has " +
                             std::to_string(k) + " modalities: give one for each, in their order",
                         poise::Fault::usage);
    }
    c_ = given_.empty() ? at::ones({k}, at::kDouble) : at::tensor(given_, at::kDouble);
    rho_ = at::ones({k}, at::kDouble);
    // NaN: an epoch that has not been. The mean of fewer than `window` epochs is then none.
    if (window_ > 0) earlier_ = at::full({window_, k}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  }

  void begin_epoch(Trainer& trainer) override {
    Network& network = trainer.network();
    const Tensor factor = c_ * rho_;
    trainer.record("rate_factor", factor);
    for (int m = 0; m < network.modalities(); ++m) {
      const auto of_modality = factor[m].item<double>();
      trainer.optimizer().set_rate_factor(network.parameters(Role::encoder, m), of_modality);
      trainer.optimizer().set_rate_factor(network.parameters(Role::head, m), of_modality);
    }
  }

  void end_epoch(Trainer& trainer) override {
    if (window_ == 0) return;
    const Tensor accuracy = accuracies(trainer);
    trainer.record("accuracy", accuracy);
    const Tensor mean = earlier_.mean(0);
    rho_ = at::where(mean > 0, accuracy / mean, 1.0);
    earlier_ = at::cat({earlier_.slice(0, 1), accuracy.unsqueeze(0)});
  }

  void visit(poise::State& state) override {
    state.tensor("rho", rho_);
    state.tensor("earlier_accuracies", earlier_);
  }

 private:
  std::vector<double> given_;
  std::int64_t window_;

  Tensor c_;        ///< [k]
  Tensor rho_;      ///< [k], after the last epoch
  Tensor earlier_;  ///< [window, k], the accuracies after the last epochs, in their order
};

}  // namespace

POISE_MODULATION(Mslr, "mslr", "a learning rate for each modality, by its own progress (ACL Findings 2022)");
