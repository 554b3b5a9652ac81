// Diagnosing & Re-learning. Y. Wei, S. Li, R. Feng, D. Hu, "Diagnosing and Re-learning for Balanced Multimodal
// Learning", ECCV 2024.
//
// Training is joint training. At the end of every reinit_epoch-th epoch, at most reinit_num times, each modality's
// features f_m of the train split and those of the validation split are diagnosed, in evaluation mode:
//
//   x       = f_m, every column scaled to [-1, 1] within its split
//   cluster = k-means of x with as many clusters as classes
//   P_m     = share of the samples whose class is the most frequent one of their cluster         purity
//   w_m     = tanh(lambda |P_m(train) - P_m(validation)|)
//   theta_m <- w_m theta_m(start) + (1 - w_m) theta_m,  for every parameter of encoder m
//
// A modality whose train features are much purer than its validation features has been learnt by heart, one whose
// purities are alike has not.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "kmeans.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Split;
using poise::Trainer;
using torch::Tensor;

/// P of each modality over a split, [k] float64 on the CPU.
Tensor purities(Split split, Trainer& trainer) {
  auto& network = trainer.network();
  const int k = network.modalities();
  std::vector<std::vector<Tensor>> features(static_cast<std::size_t>(k));
  std::vector<Tensor> targets;
  trainer.for_each_batch(split, {}, [&](const Batch& batch) {
    for (int m = 0; m < k; ++m) features[static_cast<std::size_t>(m)].push_back(network.encode(batch, m));
    targets.push_back(batch.targets);
    return true;
  });
  const Tensor labels = at::cat(targets);
  const Tensor result = at::empty({k}, at::kDouble);
  for (int m = 0; m < k; ++m) {
    const Tensor f = at::cat(features[static_cast<std::size_t>(m)]);
    const Tensor x = relearning::scale(f.to(c10::promoteTypes(f.scalar_type(), at::kFloat)));
    const Tensor clusters = relearning::kmeans(x, network.outputs()).clusters;
    result[m] = relearning::purity(clusters, labels);
  }
  return result;
}

class Relearning : public poise::Modulation {
 public:
  explicit Relearning(poise::Config& config)
      : lambda_(config.number("lambda", 3.0, {.min = 0},
                              "how much of an encoder a difference of purities takes back to its start")),
        reinit_epoch_(
            config.integer("reinit_epoch", 20, {.min = 1},
                           "re-learns at the end of every epoch (from 0) that this number divides, but "
                           "not of epoch 0")),
        reinit_num_(
            config.integer("reinit_num", 3, {.min = 0}, "re-learns at most so often; 0: joint training")),
        forgets_(
            config.choice("momentum", "keep", {"keep", "forget"},
                          "what becomes of the optimizer's momentum of a re-learnt encoder; the published "
                          "code keeps it") == "forget") {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.classification = reinit_num_ > 0;
    needs.extra_passes = reinit_num_ > 0;
    needs.symmetric = false;  // k-means draws for one modality after the other
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return "reinit_num = 0"; }

  void begin(Trainer& trainer) override {
    start_.clear();
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      auto& start = start_.emplace_back();
      for (const auto& parameter : trainer.network().parameters(poise::Role::encoder, m)) {
        start.push_back(parameter.detach().clone());
      }
    }
  }

  void end_epoch(Trainer& trainer) override {
    const std::int64_t epoch = trainer.epoch();
    if (epoch == 0 || epoch % reinit_epoch_ != 0 || epoch / reinit_epoch_ > reinit_num_) return;
    const at::NoGradGuard no_grad;
    const Tensor train = purities(Split::train, trainer);
    const Tensor validation = purities(Split::validation, trainer);
    const Tensor w = at::tanh(lambda_ * (train - validation).abs());
    trainer.record("purity_train", train);
    trainer.record("purity_validation", validation);
    trainer.record("w", w);
    for (std::size_t m = 0; m < start_.size(); ++m) {
      const auto parameters = trainer.network().parameters(poise::Role::encoder, static_cast<int>(m));
      const auto w_m = w[static_cast<std::int64_t>(m)].item<double>();
      // In place: the optimizer knows a parameter by its identity.
      for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].lerp_(start_[m].at(i), w_m);
      if (forgets_) trainer.optimizer().forget(parameters);
    }
  }

  void visit(poise::State& state) override {
    for (std::size_t m = 0; m < start_.size(); ++m) {
      for (std::size_t i = 0; i < start_[m].size(); ++i) {
        state.tensor("start_" + std::to_string(m) + "_" + std::to_string(i), start_[m][i]);
      }
    }
  }

 private:
  double lambda_;
  std::int64_t reinit_epoch_;
  std::int64_t reinit_num_;
  bool forgets_;
  std::vector<std::vector<Tensor>> start_;  ///< the parameters of each modality's encoder before training
};

}  // namespace

POISE_MODULATION(
    Relearning, "relearning",
    "takes encoders back towards their start by how much they overfit, for any fusion (ECCV 2024)");
