#pragma once

#include <torch/types.h>

namespace av_digits {

/// A stream of random numbers of its own for each use of the pairing seed.
enum class Stream { pairing, noise };
torch::Generator generator(std::int64_t seed, Stream stream, int split);

/// For each recording of a split (`digits`: [R]) the images of its class that it is paired with: [R * pairs]
/// indices into `labels` ([N]), those of one recording side by side. An image of a class comes again only when
/// all of them have come. Every class of `digits` must occur in `labels`.
torch::Tensor pair_images(const torch::Tensor& digits, const torch::Tensor& labels, std::int64_t pairs,
                          torch::Generator random);

}  // namespace av_digits
