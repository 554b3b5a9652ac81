// Sample-level modality valuation. Y. Wei, R. Feng, Z. Wang, D. Hu, "Enhancing Multimodal Cooperation via Sample-level
// Modality Valuation", CVPR 2024.
//
// After `warmup` epochs of joint training, before every epoch the model predicts the train samples with each subset S
// of the k modalities present:
//
//   v(S)  = |S| where the prediction is right, else 0;  v({}) = 0
//   phi_m = sum over S containing m of  (|S|-1)! (k-|S|)! / k!  (v(S) - v(S\m))      contribution (Shapley)
//
// The epoch has every sample once with all modalities, in random order with
//
//   level "sample":    c(phi_m) copies of each sample with modality m alone,
//                      c = 1 where 0.4 < phi < 0.9, 2 where -0.1 < phi < 0.4, 3 where phi < -0.1, else 0
//   level "modality":  gap_m = 1 - mean phi_m over a fifth of the N samples, drawn with replacement
//                      x     = 2/3 (max gap - min gap)
//                      int(f(x) N) samples, drawn with replacement, with the modality of the largest gap alone,
//                      f     = alpha x (linear), tanh(alpha x) (tanh), alpha x^1.5 (square)
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/modulation.h"
#include "poise/plugin.h"
#include "poise/shapley.h"

namespace {

using poise::Batch;
using poise::Split;
using poise::Subset;
using poise::Trainer;
using torch::Tensor;

/// [k, 2^k - 1]: what a right prediction of each non-empty S, in the order of its bits, counts in k! phi_m.
Tensor numerators(int k) {
  std::vector<double> sizes;
  for (std::uint32_t bits = 1; bits <= Subset::all(k).bits; ++bits) sizes.push_back(Subset{bits}.size());
  return poise::shapley_numerators(k).t() * at::tensor(sizes, at::kDouble);
}

/// phi [k, n] float64 on the CPU, of the train samples `ids` (undefined: all, in order).
Tensor contributions(const Tensor& ids, Trainer& trainer) {
  const int k = trainer.network().modalities();
  std::vector<Subset> subsets;
  for (std::uint32_t bits = 1; bits <= Subset::all(k).bits; ++bits) subsets.push_back({bits});
  std::vector<Tensor> correct;  // [S, B] of each batch
  trainer.for_each_batch(Split::train, ids, [&](const Batch& batch) {
    const Tensor z = trainer.network().logits(batch, subsets);
    auto sizes = batch.targets.sizes().vec();
    sizes.insert(sizes.begin(), static_cast<std::int64_t>(subsets.size()));
    const Tensor right = trainer.objective().correct(z, batch.targets.expand(sizes));
    // Of a sample with several labels or numbers all must be right.
    correct.push_back(right.dim() == 3 ? right.all(2) : right);
    return true;
  });
  // Integers and one division, so that a phi at a threshold is that threshold's double.
  const Tensor phi =
      at::matmul(numerators(k), at::cat(correct, 1).to(at::kCPU, at::kDouble)) / poise::factorial(k);
  trainer.record("contribution", phi.mean(1));
  return phi;
}

/// All `n` samples with all modalities, and `ids` with those of `present`, in random order.
poise::Plan with_more(std::int64_t n, const Tensor& ids, const Tensor& present, Trainer& trainer) {
  trainer.record("added", at::scalar_tensor(static_cast<double>(ids.size(0)), at::kDouble));
  const auto everything = static_cast<std::int64_t>(Subset::all(trainer.network().modalities()).bits);
  const Tensor all_ids = at::cat({at::arange(n, at::kLong), ids});
  const Tensor all_present = at::cat({at::full({n}, everything, at::kLong), present});
  const Tensor order = at::randperm(all_ids.size(0), at::kLong);
  return {
      .ids = all_ids.index_select(0, order), .present = all_present.index_select(0, order), .weights = {}};
}

std::int64_t bits_of(std::int64_t modality) {
  return static_cast<std::int64_t>(Subset::only(static_cast<int>(modality)).bits);
}

class Valuation : public poise::Modulation {
 public:
  explicit Valuation(poise::Config& config)
      : by_modality_(
            config.choice("level", "sample", {"sample", "modality"},
                          "what is valued and shown again: each sample, or a modality over all samples") ==
            "modality"),
        warmup_(
            config.integer("warmup", 5, {.min = 0}, "epochs of joint training before the first valuation")),
        function_(config.choice("function", "linear", {"linear", "tanh", "square"},
                                "level \"modality\": how the number of samples follows from the gaps")),
        alpha_(config.number("alpha", 1.0, {.min = 0},
                             "level \"modality\": strength of that function; 0: joint training")) {
    for (const std::string key : {"function", "alpha"}) {
      if (by_modality_ || !config.has(key)) continue;
      config.fail(key, key + " does nothing at the level of samples: set level = \"modality\", or remove it");
    }
  }

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.extra_passes = acts();
    needs.symmetric = false;  // a random order
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override {
    return "level = \"modality\"\nalpha = 0.0";
  }

  std::optional<poise::Plan> plan(Trainer& trainer) override {
    if (trainer.epoch() < warmup_ || !acts()) return std::nullopt;
    return by_modality_ ? plan_by_modality(trainer) : plan_by_sample(trainer);
  }

 private:
  [[nodiscard]] bool acts() const { return !by_modality_ || alpha_ > 0; }

  static poise::Plan plan_by_sample(Trainer& trainer) {
    const Tensor phi = contributions({}, trainer);
    const Tensor one = (phi > 0.4).logical_and(phi < 0.9);
    const Tensor two = (phi > -0.1).logical_and(phi < 0.4);
    const Tensor three = phi < -0.1;
    const Tensor copies = one.to(at::kLong) + 2 * two.to(at::kLong) + 3 * three.to(at::kLong);
    const Tensor all = at::arange(phi.size(1), at::kLong);
    std::vector<Tensor> ids;
    std::vector<Tensor> present;
    for (std::int64_t m = 0; m < phi.size(0); ++m) {
      ids.push_back(all.repeat_interleave(copies[m]));
      present.push_back(at::full_like(ids.back(), bits_of(m)));
    }
    return with_more(phi.size(1), at::cat(ids), at::cat(present), trainer);
  }

  poise::Plan plan_by_modality(Trainer& trainer) const {
    const std::int64_t n = trainer.samples(Split::train);
    const Tensor valued = at::randint(n, {std::max<std::int64_t>(n / 5, 1)}, at::kLong);
    const Tensor gap = 1 - contributions(valued, trainer).mean(1);
    const double x = 2 * (gap.max() - gap.min()).item<double>() / 3;
    const auto number = static_cast<std::int64_t>(f(x) * static_cast<double>(n));
    const Tensor ids = at::randint(n, {number}, at::kLong);
    return with_more(n, ids, at::full_like(ids, bits_of(gap.argmax().item<std::int64_t>())), trainer);
  }

  [[nodiscard]] double f(double x) const {
    if (function_ == "linear") return alpha_ * x;
    if (function_ == "tanh") return std::tanh(alpha_ * x);
    return alpha_ * std::pow(x, 1.5);
  }

  bool by_modality_;
  std::int64_t warmup_;
  std::string function_;
  double alpha_;
};

}  // namespace

POISE_MODULATION(
    Valuation, "valuation",
    "shows samples again with the modality that contributes little alone, for any fusion (CVPR 2024)");
