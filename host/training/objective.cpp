#include "training/objective.h"

#include <ATen/ATen.h>

namespace poise {
namespace {

/// Half precision is widened; float64 stays.
torch::Tensor widened(const torch::Tensor& logits) {
  return logits.dtype() == at::kHalf || logits.dtype() == at::kBFloat16 ? logits.to(at::kFloat) : logits;
}

class Classification final : public Objective {
 public:
  torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override {
    if (!batch.weights.defined()) return at::cross_entropy_loss(widened(logits), batch.targets);
    return (losses(logits, batch.targets) * batch.weights).mean();
  }

  torch::Tensor losses(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::cross_entropy_loss(widened(logits), targets, {}, at::Reduction::None);
  }

  torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::softmax(widened(logits), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  }

  torch::Tensor correct(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return logits.argmax(-1).eq(targets);
  }
};

}  // namespace

std::unique_ptr<Objective> classification_objective() { return std::make_unique<Classification>(); }

}  // namespace poise
