#include "pairing.h"

#include <vector>

#include <ATen/CPUGeneratorImpl.h>

namespace av_digits {

torch::Generator generator(std::int64_t seed, Stream stream, int split) {
  const auto own = static_cast<std::uint64_t>(seed) * 6 + 3 * static_cast<std::uint64_t>(stream) +
                   static_cast<std::uint64_t>(split);
  return at::make_generator<at::CPUGeneratorImpl>(own);
}

torch::Tensor pair_images(const torch::Tensor& digits, const torch::Tensor& labels, std::int64_t pairs,
                          torch::Generator random) {
  auto images = torch::empty({digits.size(0), pairs}, torch::kLong);
  for (int digit = 0; digit < 10; ++digit) {
    const auto recordings = (digits == digit).nonzero().flatten();
    const auto candidates = (labels == digit).nonzero().flatten();
    const std::int64_t needed = recordings.size(0) * pairs;
    std::vector<torch::Tensor> rounds;
    for (std::int64_t drawn = 0; drawn < needed; drawn += candidates.size(0)) {
      rounds.push_back(torch::randperm(candidates.size(0), random, torch::kLong));
    }
    if (rounds.empty()) continue;
    const auto order = torch::cat(rounds).slice(0, 0, needed);
    images.index_copy_(0, recordings, candidates.index_select(0, order).view({-1, pairs}));
  }
  return images.flatten();
}

}  // namespace av_digits
