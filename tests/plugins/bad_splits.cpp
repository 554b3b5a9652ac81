// Its validation split has samples of its train split.
#include "tiny_dataset.h"

namespace {

class BadSplits : public TinyDataset {
 public:
  using TinyDataset::TinyDataset;
  [[nodiscard]] poise::Batch fetch(poise::Split split, const torch::Tensor& ids,
                                   std::uint64_t seed) const override {
    return TinyDataset::fetch(split == poise::Split::validation ? poise::Split::train : split, ids, seed);
  }
};

}  // namespace

POISE_DATASET(BadSplits, "bad_splits", "a plugin of the tests");
