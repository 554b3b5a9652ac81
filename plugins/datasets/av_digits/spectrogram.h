#pragma once

#include "recordings.h"

namespace av_digits {

/// How a second of sound becomes size x size values: see geometry().
struct Geometry {
  std::int64_t pooling;  ///< so many bins and so many frames are averaged to one value
  std::int64_t n_fft;    ///< samples under the window
  std::int64_t hop;      ///< samples from frame to frame
  std::int64_t samples;  ///< of a recording that are used
};
/// With F = pooling * size, pooling the smallest that makes F at least 90: n_fft = 2 F gives F bins above the
/// mean; hop = floor(8000 / (F - 1)) and (F - 1) hop samples, a second at most, give F frames. From F = 90 on,
/// neighbouring windows overlap by half or more.
Geometry geometry(std::int64_t size);

/// log(|S| + floor), S the short-time Fourier transform of `signals` ([R, N]) under a periodic Hann window; n_fft/2
/// zeros stand before and after the signal, so that frame t has its centre at sample t * hop:
/// [R, n_fft/2 + 1, 1 + N/hop].
torch::Tensor log_spectrogram(const torch::Tensor& signals, std::int64_t n_fft, std::int64_t hop,
                              double floor);

/// `noise` ([R, N]) scaled to a signal-to-noise ratio of `snr` dB beside signals of mean square `power` ([R]).
torch::Tensor at_snr(const torch::Tensor& noise, const torch::Tensor& power, double snr);

/// `signals` with babble at `snr` dB: for each, the sum of five others of them at equal power, each repeated from a
/// random place on until the end. The ratio is that of the recording without its zeros to all of the babble.
/// At least six signals are needed.
torch::Tensor with_babble(const Signals& signals, double snr, torch::Generator random);

/// The recordings as spectrograms of size x size (babble of the same split, unless `snr` is infinite), shifted and
/// scaled by the mean and deviation of those of the training split: [R, 1, size, size] float16.
torch::Tensor audio_features(const std::vector<Recording>& recordings, std::int64_t size, double snr,
                             std::int64_t seed, int threads);

}  // namespace av_digits
