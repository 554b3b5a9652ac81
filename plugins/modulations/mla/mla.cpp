// Multimodal Learning with Alternating Unimodal Adaptation. X. Zhang, J. Yoon, M. Bansal, H. Yao, "Multimodal
// Representation Learning by Alternating Unimodal Adaptation", CVPR 2024, arXiv:2311.10707.
//
// One head for all k modalities, z_m = W f_m + b. In batch i (from 0) of n, for m = 0 .. k-1 in turn:
//
//   loss    L(z_m), with the head as the modality before left it; then, but for the run's first turn,
//   r       = mean over the batch of f_m,   q = P r,   a = 0.1^(1 + i/n)
//   P      <- P - q q^T / (a + <r, q>)          recursive least squares; P starts as the identity
//   P      <- P / |P|_F
//   dL/dW  <- dL/dW P^T                         away from the directions that earlier features have used
//
// and an update of encoder m and the head. The authors' code has the matrix a + q r^T in the place of a + <r, q> and
// divides by it entry by entry. Prediction, for each sample, over the modalities that are present:
//
//   H_m = entropy of softmax(z_m),   g_m = exp(-H_m) / sum_n exp(-H_n),   z = sum_m g_m z_m
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "poise/error.h"
#include "poise/heads.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::Subset;
using poise::Trainer;
using torch::Tensor;

class Mla : public poise::Modulation {
 public:
  explicit Mla(poise::Config& config)
      : elementwise_(
            config.choice("projection", "elementwise", {"elementwise", "scalar"},
                          "what q q^T is divided by: the matrix a + q r^T, entry by entry, as in the "
                          "published code, or the number a + <r, q> of recursive least squares") ==
            "elementwise"),
        fixed_(config.choice("gate", "entropy", {"entropy", "fixed"},
                             "weights of the modalities in the prediction: by each sample's entropies, of "
                             "classes, or alphas") == "fixed"),
        alphas_(
            config.numbers("alphas", {}, {.min = 0},
                           "with gate = \"fixed\": the weight of each modality; empty: the same for all")) {
    if (!fixed_ && !alphas_.empty())
      config.fail("alphas", "modulation.alphas is for modulation.gate = \"fixed\"; give both, or neither.");
    if (std::find(alphas_.begin(), alphas_.end(), 0.0) != alphas_.end()) {
      config.fail("alphas", "every weight in modulation.alphas must be greater than 0.");
    }
  }

  [[nodiscard]] poise::Requirements requirements(int k) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.replaces_fusion = true;
    needs.classification = !fixed_;  // the entropy of class probabilities
    needs.symmetric = false;         // in turn, and the head starts at random
    needs.backward_passes_per_step = k;
    return needs;
  }

  void begin(Trainer& trainer) override {
    const auto k = static_cast<std::size_t>(trainer.network().modalities());
    if (!alphas_.empty() && alphas_.size() != k) {
      throw poise::Error("modulation.alphas has " + std::to_string(alphas_.size()) +
                             " weights, and there are " + std::to_string(k) +
                             " modalities: give one for each.",
                         poise::Fault::usage);
    }
    head_ = poise::add_shared_head(trainer);
    p_ = at::eye(head_->weight.size(1), head_->weight.options().requires_grad(false));
  }

  void step(const Batch& batch, Trainer& trainer) override {
    poise::Network& network = trainer.network();
    for (int m = 0; m < network.modalities(); ++m) {
      const Tensor f = network.encode(batch, m);
      trainer.backward(trainer.objective().loss(head_(f), batch));
      if (m > 0 || trainer.step() > 0) project(f, trainer);
      std::vector<Tensor> updated = network.parameters(Role::encoder, m);
      updated.push_back(head_->weight);
      updated.push_back(head_->bias);
      trainer.optimizer().step(updated);
    }
  }

  Tensor predict(const Batch& batch, const std::vector<Subset>& subsets, Trainer& trainer) override {
    std::vector<Tensor> logits;
    std::vector<Tensor> log_gates;  // of each modality [B], up to their sum
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      logits.push_back(head_(trainer.network().encode(batch, m)));
      log_gates.push_back(fixed_ ? log_alpha(m, logits.back()) : minus_entropy(logits.back()));
    }
    std::vector<Tensor> result;
    for (const Subset subset : subsets) {
      std::vector<Tensor> z;
      std::vector<Tensor> h;
      for (std::size_t m = 0; m < logits.size(); ++m) {
        if (!subset.has(static_cast<int>(m))) continue;
        z.push_back(logits[m]);
        h.push_back(log_gates[m]);
      }
      const Tensor g = at::softmax(at::stack(h), 0);
      result.push_back((g.unsqueeze(-1) * at::stack(z)).sum(0));
    }
    return at::stack(result);
  }

  Tensor feature(const Batch& /*batch*/, Trainer& /*trainer*/) override { return {}; }

  void visit(poise::State& state) override { state.tensor("projection", p_); }

 private:
  /// Updates P with a batch's features [B, d] and turns the head's gradient.
  void project(const Tensor& f, Trainer& trainer) {
    const at::NoGradGuard no_grad;
    const double progress = static_cast<double>(trainer.batch()) / static_cast<double>(trainer.batches());
    const double a = std::pow(0.1, 1 + progress);
    const Tensor r = f.mean(0);
    const Tensor q = at::mv(p_, r);
    p_ = p_ - at::outer(q, q) / ((elementwise_ ? at::outer(q, r) : at::dot(r, q)) + a);
    p_ = p_ / p_.norm();
    head_->weight.mutable_grad() = at::matmul(head_->weight.grad(), p_.t());
  }

  static Tensor minus_entropy(const Tensor& z) {
    const Tensor log_p = at::log_softmax(z, -1);
    return (log_p.exp() * log_p).sum(-1);
  }

  [[nodiscard]] Tensor log_alpha(int m, const Tensor& z) const {
    const double alpha = alphas_.empty() ? 1.0 : alphas_[static_cast<std::size_t>(m)];
    return at::full({z.size(0)}, std::log(alpha), z.options());
  }

  bool elementwise_;
  bool fixed_;
  std::vector<double> alphas_;
  torch::nn::Linear head_{nullptr};
  Tensor p_;  ///< P, [d, d]
};

}  // namespace

POISE_MODULATION(Mla, "mla", "alternating uni-modal adaptation through one shared head (CVPR 2024)");
