#include "poise/shares.h"

#include <vector>

#include <ATen/ATen.h>

namespace poise {

torch::Tensor mean_over_shares(
    Trainer& trainer, Split split,
    const std::function<torch::Tensor(const torch::Tensor& share, const Batch& batch)>& each) {
  Network& network = trainer.network();
  torch::Tensor sum;  // [k]
  trainer.for_each_batch(split, {}, [&](const Batch& batch) {
    std::vector<torch::Tensor> of_batch;
    for (int m = 0; m < network.modalities(); ++m) {
      of_batch.push_back(each(network.share(batch, m), batch).sum(at::kDouble));
    }
    const torch::Tensor stacked = at::stack(of_batch);
    sum = sum.defined() ? sum + stacked : stacked;
    return true;
  });
  return (sum / static_cast<double>(trainer.samples(split))).cpu();
}

}  // namespace poise
