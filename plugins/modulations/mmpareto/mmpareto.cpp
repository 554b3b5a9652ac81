// MMPareto. Y. Wei, D. Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance", ICML 2024,
// arXiv:2405.17730.
//
// L: loss of the joint logits; L_m: loss of modality m's auxiliary head, a linear layer on its features. For each
// modality m, over all parameters of encoder m taken as one vector:
//
//   g, g_m   = gradients of L and of L_m, each by itself
//   cos      = <g, g_m> / (|g| |g_m|),  0 where one of them is 0
//   w, 1 - w = 1/2, 1/2 where cos > 0;  else w = argmin |w g + (1 - w) g_m|^2, which is
//              <g_m - g, g_m> / |g - g_m|^2 strictly between, 0.999 where <g, g_m> >= |g|^2, and
//              0.001 where <g, g_m> >= |g_m|^2
//
// and for each tensor of encoder m, |.| now of that tensor and s the gradient of L + sum_n L_n:
//
//   h        = 2 w g + 2 (1 - w) g_m
//   gradient = gamma h max(1, |s| / |h|),  0 where h is 0
//
// All other parameters keep s.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/heads.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

using poise::Batch;
using poise::Role;
using poise::Trainer;
using torch::Tensor;

/// |.| of each tensor, [P].
Tensor norms(const std::vector<Tensor>& tensors) {
  return at::stack(at::_foreach_norm(tensors)).to(at::kDouble);
}

/// <a, b> of all tensors as one vector.
Tensor dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> products = at::_foreach_mul(a, b);
  for (auto& product : products) product = product.flatten();
  return at::cat(products).sum(at::kDouble);
}

/// w, from <g, g>, <g, g_m> and <g_m, g_m>.
Tensor joint_weight(const Tensor& gg, const Tensor& gu, const Tensor& uu) {
  Tensor w = (uu - gu) / (gg - 2 * gu + uu);
  w = at::where(gu >= uu, 0.001, w);
  w = at::where(gu >= gg, 0.999, w);
  return at::where(gu > 0, 0.5, w);
}

void add_gradient(const Tensor& parameter, const Tensor& g) {
  Tensor& gradient = parameter.mutable_grad();
  if (gradient.defined()) {
    gradient.add_(g);
  } else {
    gradient = g.clone();  // autograd may give one tensor for two parameters
  }
}

class MmPareto : public poise::Modulation {
 public:
  explicit MmPareto(poise::Config& config)
      : gamma_(config.number("gamma", 1.5, {.min = 0}, "factor on the gradients of the encoders")) {}

  [[nodiscard]] poise::Requirements requirements(int /*modalities*/) const override {
    poise::Requirements needs;
    needs.min_modalities = 2;
    needs.symmetric = false;  // every head has a random start of its own
    needs.backward_passes_per_step = 2;
    return needs;
  }

  void begin(Trainer& trainer) override {
    const auto& network = trainer.network();
    encoders_.clear();
    joint_.clear();
    for (int m = 0; m < network.modalities(); ++m) {
      encoders_.push_back(network.parameters(Role::encoder, m));
      if (encoders_.back().empty()) refuse(network.modality_name(m));
      joint_.insert(joint_.end(), encoders_.back().begin(), encoders_.back().end());
    }
    for (const Role role : {Role::bypass, Role::fusion, Role::head}) {
      const auto parameters = network.parameters(role);
      joint_.insert(joint_.end(), parameters.begin(), parameters.end());
    }
    heads_ = poise::add_heads(trainer);
  }

  void step(const Batch& batch, Trainer& trainer) override {
    const Tensor joint = loss(batch, trainer);
    std::vector<Tensor> unimodal;
    for (int m = 0; m < trainer.network().modalities(); ++m) {
      const Tensor feature = trainer.network().encode(batch, m);
      const Tensor z = heads_[static_cast<std::size_t>(m)]->forward(feature);
      unimodal.push_back(trainer.objective().loss(z, batch));
    }
    const auto g = trainer.gradients(joint, joint_);
    // Encoder m has a part in L_m alone (but where the fusion acts inside the encoders, see README), so that one pass
    // gives every g_m. The detached L makes the step's loss that of the method, and has no gradient.
    trainer.backward(at::stack(unimodal).sum() + joint.detach());
    rewrite(g, trainer);
    trainer.optimizer().step();
  }

 private:
  [[noreturn]] static void refuse(const std::string& modality) {
    throw poise::Error("it combines gradients of encoders, and the encoder of '" + modality +
                           "' has no parameters: choose another encoder.",
                       poise::Fault::usage);
  }

  /// The parameters have the gradients of sum_m L_m; `g` are those of L, of joint_.
  void rewrite(const std::vector<Tensor>& g, Trainer& trainer) const {
    const at::NoGradGuard no_grad;
    std::vector<Tensor> cosines;
    std::vector<Tensor> weights;
    auto next = g.begin();
    for (const auto& encoder : encoders_) {
      const auto end = next + static_cast<std::ptrdiff_t>(encoder.size());
      combine(encoder, std::vector<Tensor>(next, end), cosines, weights);
      next = end;
    }
    for (auto i = static_cast<std::size_t>(next - g.begin()); i < g.size(); ++i)
      add_gradient(joint_[i], g[i]);
    trainer.record("cos", at::stack(cosines));
    trainer.record("w", at::stack(weights));
  }

  /// Of one encoder.
  void combine(const std::vector<Tensor>& encoder, const std::vector<Tensor>& g, std::vector<Tensor>& cosines,
               std::vector<Tensor>& weights) const {
    std::vector<Tensor> u;  // g_m
    for (const auto& parameter : encoder) {
      u.push_back(parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
    }
    const Tensor norm_g = norms(g);
    const Tensor norm_u = norms(u);
    const Tensor gg = norm_g.square().sum();
    const Tensor uu = norm_u.square().sum();
    const Tensor gu = dot(g, u);
    const Tensor lengths = (gg * uu).sqrt();
    cosines.push_back(at::where(lengths > 0, gu / lengths, 0.0));
    const Tensor w = joint_weight(gg, gu, uu);
    weights.push_back(w);

    const auto type = g.front().scalar_type();
    const std::vector<Tensor> h =
        at::_foreach_add(at::_foreach_mul(g, (2 * w).to(type)), at::_foreach_mul(u, (2 * (1 - w)).to(type)));
    const Tensor norm_h = norms(h);
    const Tensor norm_s = norms(at::_foreach_add(g, u));
    // What is left where g and g_m cancel is rounding, which must not be scaled up to the length of s.
    const double rounding = 8 * (type == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                     : std::numeric_limits<float>::epsilon());
    const Tensor scale = gamma_ * (norm_s / norm_h).clamp_min(1);
    const Tensor factor = at::where(norm_h > rounding * (norm_g + norm_u), scale, 0.0).to(type);
    for (std::size_t i = 0; i < encoder.size(); ++i) {
      encoder[i].mutable_grad() = h[i] * factor[static_cast<std::int64_t>(i)];
    }
  }

  double gamma_;
  std::vector<torch::nn::Linear> heads_;
  std::vector<std::vector<Tensor>> encoders_;  ///< parameters per modality
  std::vector<Tensor> joint_;                  ///< all that L has a gradient for: the encoders' first
};

}  // namespace

POISE_MODULATION(MmPareto, "mmpareto",
                 "joint and uni-modal gradients of each encoder in their Pareto direction (ICML 2024)");
