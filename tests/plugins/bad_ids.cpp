// What an id stands for depends on its place in the batch.
#include "tiny_dataset.h"

namespace {

class BadIds : public TinyDataset {
 public:
  using TinyDataset::TinyDataset;
  [[nodiscard]] poise::Batch fetch(poise::Split split, const torch::Tensor& ids,
                                   std::uint64_t seed) const override {
    poise::Batch batch = TinyDataset::fetch(split, ids, seed);
    batch.inputs[0] += at::arange(ids.size(0)).unsqueeze(1);
    return batch;
  }
};

}  // namespace

POISE_DATASET(BadIds, "bad_ids", "a plugin of the tests");
