#pragma once

#include <cstdint>

namespace poise {

/// A set of modalities: modality m is present when bit m is set.
struct Subset {
  std::uint32_t bits = 0;

  static constexpr Subset all(int modalities) { return {(1U << static_cast<unsigned>(modalities)) - 1U}; }
  static constexpr Subset only(int modality) { return {1U << static_cast<unsigned>(modality)}; }

  [[nodiscard]] constexpr bool has(int modality) const {
    return ((bits >> static_cast<unsigned>(modality)) & 1U) != 0;
  }
  [[nodiscard]] constexpr int size() const { return __builtin_popcount(bits); }
  constexpr bool operator==(const Subset&) const = default;
};

/// A run has at most this many modalities (methods visit all 2^k subsets).
inline constexpr int max_modalities = 16;

}  // namespace poise
