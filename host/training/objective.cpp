#include "training/objective.h"

#include <ATen/ATen.h>

namespace poise {
namespace {

/// Half precision is widened; float64 stays.
torch::Tensor widened(const torch::Tensor& logits) {
  return logits.dtype() == at::kHalf || logits.dtype() == at::kBFloat16 ? logits.to(at::kFloat) : logits;
}

torch::Tensor weighted_mean(const torch::Tensor& losses, const Batch& batch) {
  return batch.weights.defined() ? (losses * batch.weights).mean() : losses.mean();
}

class Classification final : public Objective {
 public:
  torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override {
    if (!batch.weights.defined()) return at::cross_entropy_loss(widened(logits), batch.targets);
    return weighted_mean(losses(logits, batch.targets), batch);
  }

  torch::Tensor losses(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::cross_entropy_loss(widened(logits).flatten(0, -2), targets.flatten(), {}, at::Reduction::None)
        .view(targets.sizes());
  }

  torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::softmax(widened(logits), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1);
  }

  torch::Tensor correct(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return logits.argmax(-1).eq(targets);
  }
};

class MultiLabel final : public Objective {
 public:
  torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override {
    return weighted_mean(losses(logits, batch.targets), batch);
  }

  torch::Tensor losses(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return at::binary_cross_entropy_with_logits(widened(logits), targets, {}, {}, at::Reduction::None)
        .mean(-1);
  }

  torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    const auto p = widened(logits).sigmoid();
    return at::where(targets.gt(0.5), p, 1 - p).mean(-1);
  }

  torch::Tensor correct(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return logits.gt(0).eq(targets.gt(0.5));
  }
};

class Regression final : public Objective {
 public:
  torch::Tensor loss(const torch::Tensor& logits, const Batch& batch) const override {
    return weighted_mean(losses(logits, batch.targets), batch);
  }

  torch::Tensor losses(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return (widened(logits) - targets).square().mean(-1);
  }

  torch::Tensor score(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return (-losses(logits, targets)).exp();
  }

  torch::Tensor correct(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return (widened(logits) - targets).abs().lt(0.5);
  }
};

}  // namespace

std::unique_ptr<Objective> make_objective(const Task& task) {
  switch (task.kind) {
    case TaskKind::classification: return std::make_unique<Classification>();
    case TaskKind::multi_label: return std::make_unique<MultiLabel>();
    case TaskKind::regression: return std::make_unique<Regression>();
  }
  return nullptr;
}

}  // namespace poise
