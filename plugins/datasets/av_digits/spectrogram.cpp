#include "spectrogram.h"

#include <algorithm>
#include <cmath>

#include "pairing.h"

namespace av_digits {
namespace {

constexpr std::int64_t voices = 5;
constexpr std::int64_t block = 128;  // recordings transformed at a time, which bounds the memory
// Above the noise of 16 bits, so that silence does not take most of the range: see README.md.
constexpr double floor_of_log = 1e-3;

torch::Tensor spectrograms(const torch::Tensor& signals, const Geometry& plan) {
  std::vector<torch::Tensor> blocks;
  for (const auto& some : signals.split(block)) {
    auto values = log_spectrogram(some, plan.n_fft, plan.hop, floor_of_log).slice(1, 1).unsqueeze(1);
    blocks.push_back(plan.pooling > 1 ? torch::avg_pool2d(values, plan.pooling) : values);
  }
  return torch::cat(blocks);
}

/// Mean square of each row of [R, N] over its first `lengths` values, zeros following.
torch::Tensor mean_square(const torch::Tensor& rows, const torch::Tensor& lengths) {
  return rows.square().sum(1) / lengths;
}

}  // namespace

Geometry geometry(std::int64_t size) {
  const std::int64_t pooling = (90 + size - 1) / size;
  const std::int64_t fine = pooling * size;
  const std::int64_t hop = sample_rate / (fine - 1);
  return {pooling, 2 * fine, hop, (fine - 1) * hop};
}

torch::Tensor log_spectrogram(const torch::Tensor& signals, std::int64_t n_fft, std::int64_t hop,
                              double floor) {
  const auto window = torch::hann_window(n_fft, signals.options());
  const auto transform = torch::stft(signals, n_fft, hop, n_fft, window, /*center=*/true, "constant",
                                     /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true);
  return transform.abs().add(floor).log();
}

torch::Tensor at_snr(const torch::Tensor& noise, const torch::Tensor& power, double snr) {
  // A babble of silence stays silence.
  const auto own = noise.square().mean(1).clamp_min(1e-20);
  return noise * (power / (own * std::pow(10.0, snr / 10))).sqrt().unsqueeze(1);
}

torch::Tensor with_babble(const Signals& signals, double snr, torch::Generator random) {
  const auto& [samples, lengths] = signals;
  const std::int64_t count = samples.size(0);
  const auto power = mean_square(samples, lengths);
  const auto level = power.clamp_min(1e-20).sqrt();
  // The five others with the highest of random numbers: each set equally likely, none twice.
  const auto others = std::get<1>(torch::rand({count, count}, random).fill_diagonal_(-1).topk(voices, 1));
  const auto starts = torch::rand({count, voices}, random);
  const auto time = torch::arange(samples.size(1));

  std::vector<torch::Tensor> noisy;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t end = std::min(begin + block, count);
    auto babble = torch::zeros({end - begin, samples.size(1)});
    for (std::int64_t voice = 0; voice < voices; ++voice) {
      const auto other = others.slice(0, begin, end).select(1, voice);
      const auto length = lengths.index_select(0, other).unsqueeze(1);
      const auto start =
          (starts.slice(0, begin, end).select(1, voice).unsqueeze(1) * length).to(torch::kLong);
      const auto repeated = samples.index_select(0, other).gather(1, (start + time).remainder(length));
      babble += repeated / level.index_select(0, other).unsqueeze(1);
    }
    noisy.push_back(samples.slice(0, begin, end) + at_snr(babble, power.slice(0, begin, end), snr));
  }
  return torch::cat(noisy);
}

torch::Tensor audio_features(const std::vector<Recording>& recordings, std::int64_t size, double snr,
                             std::int64_t seed, int threads) {
  const Geometry plan = geometry(size);
  Signals signals = read_signals(recordings, plan.samples, threads);
  std::int64_t begin = 0;
  std::int64_t train = 0;
  for (const auto split : {poise::Split::train, poise::Split::validation, poise::Split::test}) {
    const std::int64_t end =
        begin + std::count_if(recordings.begin(), recordings.end(),
                              [&](const Recording& recording) { return recording.split == split; });
    if (std::isfinite(snr)) {
      const Signals own{signals.samples.slice(0, begin, end), signals.lengths.slice(0, begin, end)};
      own.samples.copy_(with_babble(own, snr, generator(seed, Stream::noise, static_cast<int>(split))));
    }
    if (split == poise::Split::train) train = end;
    begin = end;
  }
  const auto values = spectrograms(signals.samples, plan);
  // Summed as float64: in float32 the order, and with it the number of threads, would be seen in the result.
  const auto own = values.slice(0, 0, train).to(torch::kDouble);
  const auto mean = own.mean().item<double>();
  const auto deviation = own.std(/*unbiased=*/false).item<double>();
  return ((values - mean) / (deviation > 0 ? deviation : 1)).to(torch::kHalf);
}

}  // namespace av_digits
