#pragma once

#include <filesystem>
#include <vector>

#include <poise/dataset.h>

namespace av_digits {

/// Of every recording, in Hz.
inline constexpr int sample_rate = 8000;

struct Recording {
  std::filesystem::path path;
  int digit = 0;
  poise::Split split = poise::Split::train;  ///< takes 0 to 4 test, 5 to 9 validation, the rest train
};

/// The recordings {digit}_{speaker}_{take}.wav or .flac in `folder`: those of train, of validation, of test, each
/// in the order of their names; none where there is no such folder. Other kinds of files are ignored. Throws Error
/// for a sound file whose name says no digit and take, and for a recording that is there twice.
std::vector<Recording> list_recordings(const std::filesystem::path& folder);

/// Throws Error when a split has no recording of some digit.
void check_complete(const std::vector<Recording>& recordings, const std::filesystem::path& folder);

/// The sound of some recordings.
struct Signals {
  torch::Tensor samples;  ///< [R, N] float32 in -1 to 1; the first N of each, or zeros after its end
  torch::Tensor lengths;  ///< [R] int64, 1 to N: where the zeros begin
};
/// Throws Error naming the file that cannot be read, is damaged, or is not one channel at 8 kHz.
Signals read_signals(const std::vector<Recording>& recordings, std::int64_t samples, int threads);

}  // namespace av_digits
