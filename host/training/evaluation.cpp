#include "training/evaluation.h"

#include <ATen/ATen.h>

namespace poise {

Score evaluate(FusedNetwork& network, const Loaded<Modulation>& modulation, HostTrainer& trainer,
               BatchStream::Source source) {
  const torch::NoGradGuard no_gradients;
  // Scoring is no training: its passes are not counted.
  const PassCounts counts = network.counts();
  network.begin_evaluation();
  const int k = network.modalities();
  std::vector<Subset> subsets{Subset::all(k)};
  for (int m = 0; m < k && k > 1; ++m) subsets.push_back(Subset::only(m));

  // The logits stay on their device until the end, so that nothing waits; the metrics are computed on the CPU.
  std::vector<torch::Tensor> logits;
  std::vector<torch::Tensor> targets;
  torch::Tensor loss;
  BatchStream stream(std::move(source));
  while (const auto batch = stream.next()) {
    logits.push_back(
        modulation.call([&](Modulation& object) { return object.predict(*batch, subsets, trainer); }));
    targets.push_back(batch->targets);
    const auto batch_loss = trainer.objective().losses(logits.back()[0], batch->targets).sum(at::kDouble);
    loss = loss.defined() ? loss + batch_loss : batch_loss;
    network.forget();
  }
  network.begin_step();
  network.counts() = counts;

  const auto all_logits = at::cat(logits, 1).cpu();
  const auto all_targets = at::cat(targets).cpu();
  Score score;
  score.loss = loss.item<double>() / static_cast<double>(all_targets.size(0));
  score.metrics = metrics_of(network.task(), all_logits[0], all_targets);
  for (int m = 0; m < k && k > 1; ++m) {
    score.modality.push_back(metrics_of(network.task(), all_logits[m + 1], all_targets).front().second);
  }
  if (k == 1) score.modality.push_back(score.main());
  return score;
}

}  // namespace poise
