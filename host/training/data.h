#pragma once

#include <array>
#include <cstdint>

#include "training/batches.h"
#include "training/run.h"

namespace poise {

/// A seed of its own for each (seed, epoch, pass): SplitMix64's finaliser.
std::uint64_t mixed(std::uint64_t seed, std::int64_t epoch, std::int64_t pass);

/// The splits of a run's dataset, as streams of batches.
class Data {
 public:
  /// Keeps references to both. Builds the dataset; throws Error for a split that is too small.
  Data(const RunRequest& request, const RunPlugins& plugins);

  [[nodiscard]] std::int64_t samples(Split split) const {
    return samples_.at(static_cast<std::size_t>(split));
  }
  /// Of an epoch that visits every training sample once.
  [[nodiscard]] std::int64_t epoch_steps() const { return epoch_steps_; }
  /// All of a split, in order.
  [[nodiscard]] BatchStream::Source source(Split split) const;
  /// The train split in an order that (epoch, pass) decides, [N] int64.
  [[nodiscard]] torch::Tensor shuffled(std::int64_t epoch, std::int64_t pass) const;

 private:
  const RunRequest& request_;
  const RunPlugins& plugins_;
  std::array<std::int64_t, 3> samples_{};
  std::int64_t epoch_steps_ = 0;
};

}  // namespace poise
