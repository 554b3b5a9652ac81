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

  const auto samples = static_cast<double>(source.ids.size(0));
  torch::Tensor loss;
  torch::Tensor correct;
  BatchStream stream(std::move(source));
  while (const auto batch = stream.next()) {
    const auto logits =
        modulation.call([&](Modulation& object) { return object.predict(*batch, subsets, trainer); });
    const auto batch_loss = trainer.objective().losses(logits[0], batch->targets).to(at::kDouble).sum();
    const auto batch_correct = trainer.objective().correct(logits, batch->targets).sum(-1).to(at::kDouble);
    loss = loss.defined() ? loss + batch_loss : batch_loss;
    correct = correct.defined() ? correct + batch_correct : batch_correct;
    network.forget();
  }
  network.begin_step();
  network.counts() = counts;

  Score score;
  score.loss = loss.item<double>() / samples;
  const auto shares = (correct / samples).cpu();
  score.accuracy = shares[0].item<double>();
  for (std::int64_t m = 1; m < shares.size(0); ++m)
    score.modality_accuracy.push_back(shares[m].item<double>());
  if (k == 1) score.modality_accuracy.push_back(score.accuracy);
  return score;
}

}  // namespace poise
