// Has a third class where it declares two.
#include "tiny_dataset.h"

namespace {

class BadTargets : public TinyDataset {
 public:
  using TinyDataset::TinyDataset;
  [[nodiscard]] poise::Batch fetch(poise::Split split, const torch::Tensor& ids,
                                   std::uint64_t seed) const override {
    poise::Batch batch = TinyDataset::fetch(split, ids, seed);
    batch.targets = ids.remainder(3);
    return batch;
  }
};

}  // namespace

POISE_DATASET(BadTargets, "bad_targets", "a plugin of the tests");
