// PMR. Y. Fan, W. Xu, H. Wang, J. Wang, S. Guo, "PMR: Prototypical Modal Rebalance for Multimodal Learning", CVPR 2023,
// arXiv:2211.07089.
//
// Before each epoch, with the features f_m of random training samples, as many as max(1, batches // 10) batches have, in
// evaluation mode:
//
//   n_m^y = mean of f_m over the samples of class y
//   c_m^y = n_m^y in the first `average_from` passes, then (1 - mu) n_m^y + mu c_m^y           prototype
//
// A class that the pass has not met keeps its prototype, which is 0 before the first. In every step:
//
//   d_m   = -|f_m - c_m^y|_2 for every class y                                                  [B, C]
//   s_m   = sum over the batch of softmax(d_m)[target]
//   loss  = CE(z) + alpha sum over slow m of CE(d_m),    slow: s_m < mean_n s_n
//
// Of two modalities the one with the smaller s is slow. No gradient flows into prototypes or s.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/epoch_window.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

class Pmr : public poise::Modulation {
 public:
  explicit Pmr(poise::Config& config)
      : alpha_(config.number("alpha", 1.0, {.min = 0}, "weight of the prototypes' loss; 0: joint training")),
        mu_(config.number("mu", 0.2, {.min = 0, .max = 1}, "share of the old prototypes in the new ones")),
        average_from_(config.integer("average_from", 2, {.min = 1},
                                     "first pass over the data, counted from 0, that is averaged with the "
                                     "prototypes before it")),
        window_(poise::EpochWindow::read(config, {0, 100})) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.classification = alpha_ > 0;
    needs.extra_passes = alpha_ > 0;
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "alpha = 0.0"; }

  void begin(Trainer& trainer) override {
    const auto& network = trainer.network();
    const Tensor parameter = network.parameters().front();
    const auto type = at::promote_types(parameter.scalar_type(), at::kFloat);
    prototypes_.clear();
    for (int m = 0; m < network.modalities(); ++m) {
      prototypes_.push_back(at::zeros({network.outputs(), network.width(m)},
                                      at::TensorOptions(type).device(parameter.device())));
    }
  }

  void begin_epoch(Trainer& trainer) override {
    if (!acts(trainer)) return;
    auto& network = trainer.network();
    const auto as_sums = prototypes_.front().options().dtype(at::kDouble);
    std::vector<Tensor> sums;
    for (const auto& prototype : prototypes_) sums.push_back(at::zeros(prototype.sizes(), as_sums));
    Tensor counts = at::zeros({network.outputs()}, as_sums);
    trainer.for_each_batch(poise::Split::train, random_samples(trainer), [&](const Batch& batch) {
      const Tensor of_class = at::one_hot(batch.targets, network.outputs()).t().to(at::kDouble);  // [C, B]
      counts.add_(of_class.sum(1));
      for (std::size_t m = 0; m < sums.size(); ++m) {
        const Tensor features = network.encode(batch, static_cast<int>(m)).to(at::kDouble);
        sums[m].add_(at::matmul(of_class, features));
      }
      return true;
    });
    const Tensor met = (counts > 0).unsqueeze(1);
    const Tensor divisor = counts.clamp_min(1).unsqueeze(1);
    for (std::size_t m = 0; m < sums.size(); ++m) {
      const Tensor old = prototypes_[m].to(at::kDouble);
      Tensor updated = sums[m] / divisor;
      if (passes_ >= average_from_) updated = (1 - mu_) * updated + mu_ * old;
      prototypes_[m] = at::where(met, updated, old).to(prototypes_[m].scalar_type());
    }
    ++passes_;
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    if (!acts(trainer)) return Modulation::loss(batch, trainer);
    const Tensor joint = Modulation::loss(batch, trainer);
    const auto& objective = trainer.objective();
    std::vector<Tensor> losses;
    std::vector<Tensor> scores;
    for (std::size_t m = 0; m < prototypes_.size(); ++m) {
      const Tensor& c = prototypes_[m];
      const Tensor f = trainer.network().encode(batch, static_cast<int>(m)).to(c.scalar_type());
      // Where f is its prototype the norm has the gradient 0.
      const Tensor d = -(f.unsqueeze(1) - c).norm(2, -1);
      losses.push_back(objective.loss(d, batch));
      scores.push_back(objective.score(d.detach(), batch.targets).sum(at::kDouble));
    }
    const Tensor s = at::stack(scores);
    const Tensor slow = s < s.mean();
    trainer.record("s", s);
    trainer.record("slow", slow);
    return joint + alpha_ * at::where(slow, at::stack(losses), 0.0).sum();
  }

  void visit(poise::State& state) override {
    state.scalar("passes", passes_);
    for (std::size_t m = 0; m < prototypes_.size(); ++m) {
      state.tensor("prototypes_" + std::to_string(m), prototypes_[m]);
    }
  }

 private:
  bool acts(const Trainer& trainer) const { return alpha_ > 0 && window_.holds(trainer.epoch()); }

  /// As many ids as a tenth of the epoch's batches have.
  static Tensor random_samples(const Trainer& trainer) {
    const std::int64_t samples = trainer.samples(poise::Split::train);
    const std::int64_t batches = std::max<std::int64_t>(trainer.batches(), 1);
    const std::int64_t taken = std::max<std::int64_t>(batches / 10, 1);
    return at::randperm(samples, at::kLong).slice(0, 0, (samples * taken + batches - 1) / batches);
  }

  double alpha_;
  double mu_;
  std::int64_t average_from_;
  poise::EpochWindow window_;
  std::int64_t passes_ = 0;         ///< over the data for prototypes, so far
  std::vector<Tensor> prototypes_;  ///< c, per modality [C, width(m)]
};

}  // namespace

POISE_MODULATION(Pmr, "pmr", "a loss of class prototypes for the modalities that are slow (CVPR 2023)");
