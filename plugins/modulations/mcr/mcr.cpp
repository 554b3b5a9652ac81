// Multimodal Competition Regularizer. K. Kontras, T. Strypsteen, C. Chatzichristos, P. P. Liang, M. Blaschko,
// M. De Vos, "Balancing Multimodal Training Through Game-Theoretic Regularization", NeurIPS 2025, arXiv:2411.07335.
//
// z: logits of the features f_1 .. f_k; z^m: those where sample b has the features f_m of sample pi(b), pi a random
// permutation of the batch, one for all m. A modality that matters moves the prediction when it is permuted.
//
//   JS_m   = mean over b of KL(p | (p + q) / 2) / 2 + KL(q | (p + q) / 2) / 2,   p = softmax(z^m), q = softmax(z)
//   JS_m|A = the same value, where only the features in A are differentiated in z^m; z always is
//
//   greedy: R = sum_m -JS_m|{m} + JS_m|{all others}       each strengthens its own influence, and weakens another's
//   ind:    R = sum_m -JS_m|{m}                           each strengthens its own
//   colab:  R = sum_m -JS_m|{all}                         all strengthen each
//
//   C = mean over the ordered pairs (i, j), i != j, of one class of -log(E_ij / (E_ij + sum over n of other classes
//       of E_in)),  E_ij = exp(cos(r_i, r_j) / 0.5), rows r: the features of all samples and modalities, [k B, d]
//
//   loss = L(z) + l R + lambda_c C
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/kept_buffers.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Trainer;
using torch::Tensor;

enum class Game { greedy, ind, colab };

Game game_of(const std::string& name) {
  if (name == "ind") return Game::ind;
  return name == "colab" ? Game::colab : Game::greedy;
}

/// In float32 or wider.
Tensor wide(const Tensor& x) { return x.to(at::promote_types(x.scalar_type(), at::kFloat)); }

/// JS of two logits [B, C].
Tensor jensen_shannon(const Tensor& one, const Tensor& other) {
  const Tensor log_p = at::log_softmax(wide(one), 1);
  const Tensor log_q = at::log_softmax(wide(other), 1);
  const Tensor log_middle = at::logaddexp(log_p, log_q) - std::numbers::ln2;
  const Tensor sum = log_p.exp() * (log_p - log_middle) + log_q.exp() * (log_q - log_middle);
  return sum.sum(1).mean() / 2;
}

/// C. `features` [B, d] per modality, `targets` [B].
Tensor contrastive(const std::vector<Tensor>& features, const Tensor& targets) {
  constexpr double temperature = 0.5;
  std::vector<Tensor> directions;
  for (const auto& feature : features) {
    const Tensor f = wide(feature);
    const Tensor length = f.norm(2, 1, true);
    directions.push_back(f / length.masked_fill(length.eq(0), 1));  // features of zeros stay zeros
  }
  const Tensor r = at::cat(directions);
  const Tensor similarity = at::matmul(r, r.t()) / temperature;  // log E
  const Tensor y = targets.repeat({static_cast<std::int64_t>(features.size())});
  const Tensor same = y.unsqueeze(1).eq(y);
  const Tensor pairs = same.clone().fill_diagonal_(false);
  const Tensor others = similarity.exp().masked_fill(same, 0).sum(1, true);
  // A cosine is at most 1, so that no exponential overflows; without other classes every term is log 1.
  const Tensor terms = (others * (-similarity).exp()).log1p();
  return terms.masked_fill(pairs.logical_not(), 0).sum() / pairs.sum();
}

class Mcr : public poise::Modulation {
 public:
  explicit Mcr(poise::Config& config)
      : game_(game_of(
            config.choice("variant", "greedy", {"greedy", "ind", "colab"},
                          "whose influence a modality strengthens: greedy: its own, while it weakens the "
                          "others'; ind: its own; colab: everyone's"))),
        l_(config.number("l", 0.1, {.min = 0}, "weight of the divergences; 0: none")),
        lambda_c_(config.number("lambda_c", 1.0, {.min = 0}, "weight of the contrastive loss; 0: none")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.classification = l_ > 0 || lambda_c_ > 0;
    needs.symmetric = l_ == 0;  // a fusion with dropout draws another mask for each modality, in their order
    return needs;
  }

  [[nodiscard]] std::optional<std::string> neutral_options() const override {
    return "l = 0.0\nlambda_c = 0.0";
  }

  void begin(Trainer& trainer) override {
    if (lambda_c_ == 0) return;
    const auto& network = trainer.network();
    for (int m = 1; m < network.modalities(); ++m) {
      if (network.width(m) == network.width(0)) continue;
      throw poise::Error(
          "it compares the features of all modalities, but those of '" + network.modality_name(0) +
              "' and '" + network.modality_name(m) +
              "' differ in width: give the encoders the same width, or set modulation.lambda_c = 0.",
          poise::Fault::usage);
    }
  }

  Tensor loss(const Batch& batch, Trainer& trainer) override {
    if (l_ == 0 && lambda_c_ == 0) return Modulation::loss(batch, trainer);
    Tensor total = Modulation::loss(batch, trainer);
    if (l_ > 0) total = total + l_ * divergences(batch, trainer);
    if (lambda_c_ > 0) {
      std::vector<Tensor> features;
      for (int m = 0; m < trainer.network().modalities(); ++m) {
        features.push_back(trainer.network().encode(batch, m));
      }
      const Tensor c = contrastive(features, batch.targets);
      trainer.record("contrastive", c.detach());
      total = total + lambda_c_ * c;
    }
    return total;
  }

  void modulate(const Batch& /*batch*/, Trainer& /*trainer*/) override {
    // Running statistics do not count permuted features: no prediction sees such.
    if (kept_) kept_->put_back();
    kept_.reset();
  }

 private:
  /// R.
  Tensor divergences(const Batch& batch, Trainer& trainer) {
    auto& network = trainer.network();
    const Tensor z = network.logits(batch);
    kept_.emplace(network.fusion());
    const auto& features = network.features(batch);
    const Tensor pi = at::randperm(batch.size(), at::TensorOptions(at::kLong).device(z.device()));

    std::vector<Tensor> terms;
    std::vector<Tensor> values;
    for (std::size_t m = 0; m < features.size(); ++m) {
      Batch permuted = batch;  // where features are tokens, their lengths go with them
      if (features[m].dim() == 3 && batch.lengths[m].defined()) {
        permuted.lengths[m] = batch.lengths[m].index_select(0, pi);
      }
      // JS_m, where modality m, the others or both are differentiated in z^m.
      const auto divergence = [&](bool own, bool others) {
        std::vector<Tensor> shown;
        for (std::size_t n = 0; n < features.size(); ++n) {
          const bool live = n == m ? own : others;
          const Tensor f = live ? features[n] : features[n].detach();
          shown.push_back(n == m ? f.index_select(0, pi) : f);
        }
        return jensen_shannon(network.fuse(permuted, shown).logits, z);
      };
      const Tensor strengthened = divergence(true, game_ == Game::colab);
      values.push_back(strengthened.detach());
      terms.push_back(game_ == Game::greedy ? divergence(false, true) - strengthened : -strengthened);
    }
    trainer.record("js", at::stack(values));
    return at::stack(terms).sum();
  }

  Game game_;
  double l_;
  double lambda_c_;
  std::optional<poise::KeptBuffers> kept_;  ///< the fusion's, as the training pass has left them
};

}  // namespace

POISE_MODULATION(Mcr, "mcr", "modalities compete for influence, measured by permutation (NeurIPS 2025)");
