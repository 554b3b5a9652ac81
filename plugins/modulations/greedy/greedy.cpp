// Balanced multi-modal learning. N. Wu, S. Jastrzebski, K. Cho, K. J. Geras, "Characterizing and Overcoming
// the Greedy Nature of Learning in Multi-modal Deep Neural Networks", ICML 2022, arXiv:2202.05306. Two
// modalities, and a fusion whose modalities gate each other. After backward and before the update, in every
// step whose gates were not replaced:
//
//   mu(part) = sum of the squares of the part's gradients / sum of the squares of its weights
//   M(part)  = sum of mu(part) over these steps of the run
//   CLS      = log10(M(bypass 0) / M(main 0)) - log10(M(bypass 1) / M(main 1))
//
// main m is encoder m and the head's weights of modality m; bypass m are the fusion's parameters that serve
// modality m, those that serve both in both. Where |CLS| > epsilon, in epoch start_epoch (from 0) or later,
// the gates of one modality are replaced by their running average in the next `window` steps: of modality 0
// where CLS > 0, else of 1. The step after them is measured again. CLS is undefined where an M is 0; then
// nothing is replaced.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/gate_switch.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Network;
using poise::Role;
using poise::Trainer;
using torch::Tensor;

using Part = std::vector<Tensor>;

/// Sum of the squares of all entries.
Tensor squares(const std::vector<Tensor>& tensors) {
  return at::stack(at::_foreach_norm(tensors)).to(at::kDouble).square().sum();
}

/// mu of a part. What the loss does not reach has a gradient of 0.
Tensor speed(const Part& part) {
  std::vector<Tensor> gradients;
  for (const auto& parameter : part) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  const Tensor weights = squares(part);
  return gradients.empty() ? at::zeros_like(weights) : squares(gradients) / weights;
}

/// mu of both modalities' parts, [2].
Tensor speeds(const std::array<Part, 2>& parts) { return at::stack({speed(parts[0]), speed(parts[1])}); }

class Greedy : public poise::Modulation {
 public:
  explicit Greedy(poise::Config& config)
      : epsilon_(config.number("epsilon", 0.01, {.min = 0},
                               "gates are replaced where the learning speeds differ by more powers of ten")),
        window_(config.integer("window", 5, {.min = 0, .max = 1000000},
                               "for how many steps gates are replaced; 0: joint training")),
        start_epoch_(config.integer("start_epoch", 1, {.min = 0, .max = 1000000},
                                    "epoch, from 0, from which on gates are replaced")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.max_modalities = 2;
    needs.gate_switch = true;
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "window = 0"; }

  void begin(Trainer& trainer) override {
    Network& network = trainer.network();
    for (int m = 0; m < 2; ++m) {
      const auto index = static_cast<std::size_t>(m);
      main_[index] = network.parameters(Role::encoder, m);
      const auto head = network.parameters(Role::head, m);
      main_[index].insert(main_[index].end(), head.begin(), head.end());
      bypass_[index] = network.parameters(Role::bypass, m);
      if (main_[index].empty() || bypass_[index].empty()) {
        throw poise::Error(
            "greedy compares how fast each modality's own parameters and those that serve it "
            "inside the fusion learn, and '" +
                network.modality_name(m) + "' has none of one kind: choose another fusion",
            poise::Fault::usage);
      }
    }
    const auto device = bypass_[0].front().device();
    main_sums_ = at::zeros({2}, at::TensorOptions(device).dtype(at::kDouble));
    bypass_sums_ = at::zeros_like(main_sums_);
    remaining_ = at::zeros({}, at::TensorOptions(device).dtype(at::kLong));
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    // CLS stands still while gates are replaced: its sign goes on saying whose.
    const Tensor first = difference() > 0;
    const Tensor replaced = at::stack({first, first.logical_not()}).logical_and(remaining_ > 0);
    dynamic_cast<poise::GateSwitch&>(trainer.network().fusion()).replace_gates(replaced);
    trainer.record("replaced", replaced);
    return Modulation::loss(batch, trainer);
  }

  // Nothing here looks at a value, so that nothing waits for the device.
  void modulate(const Batch& /*batch*/, Trainer& trainer) override {
    const at::NoGradGuard no_grad;
    const Tensor measured = remaining_ == 0;
    main_sums_ = main_sums_ + at::where(measured, speeds(main_), 0.0);
    bypass_sums_ = bypass_sums_ + at::where(measured, speeds(bypass_), 0.0);
    const Tensor cls = difference();
    trainer.record("cls", cls);
    if (trainer.epoch() < start_epoch_) return;
    const Tensor exceeds = cls.abs() > epsilon_;
    remaining_ = at::where(measured, exceeds.to(at::kLong) * window_, remaining_ - 1);
  }

  void visit(poise::State& state) override {
    state.tensor("main", main_sums_);
    state.tensor("bypass", bypass_sums_);
    state.tensor("remaining", remaining_);
  }

 private:
  /// CLS; 0 where it is undefined.
  [[nodiscard]] Tensor difference() const {
    const Tensor log = at::log10(bypass_sums_ / main_sums_);
    const Tensor cls = log[0] - log[1];
    return at::where(cls.isfinite(), cls, 0.0);
  }

  double epsilon_;
  std::int64_t window_;
  std::int64_t start_epoch_;

  std::array<Part, 2> main_;
  std::array<Part, 2> bypass_;
  Tensor main_sums_;    ///< M(main), [2]
  Tensor bypass_sums_;  ///< M(bypass), [2]
  Tensor remaining_;    ///< steps to come whose gates are replaced, a scalar
};

}  // namespace

POISE_MODULATION(Greedy, "greedy", "replaces the gates of the modality whose gates learn faster (ICML 2022)");
