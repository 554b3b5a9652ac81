#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <poise/config.h>
#include <poise/dataset.h>

namespace synthetic {

enum class Form { vector, sequence, image };

/// What the options say.
struct Parameters {
  int modalities = 2;  ///< k
  Form form = Form::vector;
  poise::TaskKind task = poise::TaskKind::classification;
  std::array<std::int64_t, 3> sizes{};  ///< of train, validation and test

  /// How many outputs each kind of latent makes. A unique and a redundant output is one latent, a combined
  /// one is the product of k, one of each modality.
  std::vector<std::int64_t> unique;  ///< per modality
  std::int64_t redundant = 0;
  std::int64_t combined = 0;

  std::vector<double> amplitude;  ///< a_m, the noise of a coordinate being 1
  double label_noise = 0;         ///< e
  std::int64_t dimensions = 0;    ///< of a vector, or of a step of a sequence
  std::int64_t side = 0;          ///< of an image
  std::int64_t steps = 0;         ///< of the longest sequence
  std::int64_t min_steps = 0;     ///< of the shortest
  std::int64_t seed = 0;

  /// Those that are one latent: all but the combined.
  [[nodiscard]] std::int64_t simple_outputs() const;
  [[nodiscard]] std::int64_t outputs() const { return simple_outputs() + combined; }
  [[nodiscard]] std::int64_t classes() const { return std::int64_t{1} << outputs(); }
  [[nodiscard]] std::int64_t latents() const { return simple_outputs() + combined * modalities; }
  /// The latents that a modality shows: its unique ones, the redundant ones, its factors of the combined.
  [[nodiscard]] std::vector<std::int64_t> shown(int modality) const;
};

/// Throws Error (usage) with the place of what is wrong.
Parameters read_parameters(poise::Config& config);

}  // namespace synthetic
