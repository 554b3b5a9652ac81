// Written and spoken digits: an MNIST image and a Free Spoken Digit recording of one class are a sample.
//
// MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
// Proc. IEEE 86, 1998. Recordings: Z. Jackson et al., Free Spoken Digit Dataset. The task follows AV-MNIST
// (V. Vielzeuf, A. Lechervy, S. Pateux, F. Jurie, "CentralNet: a multilayer approach for multimodal fusion",
// ECCV workshops 2018), whose own data need a licence.
//
//   audio = (log(|STFT(x + n')| + floor) - mu_a) / sigma_a      n' = n sqrt(P_x / (P_n 10^(snr / 10)))
//   image = (m + V_r V_r^T (p - m) - mu_i) / sigma_i            r: the fewest that keep the share of the energy
//
// mu, sigma, m and V are those of the training split, so that an input of zeros is the average input.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>

#include <ATen/ops/_unique.h>
#include <poise/dataset.h>
#include <poise/error.h>
#include <poise/files.h>
#include <poise/plugin.h>

#include "cache.h"
#include "images.h"
#include "pairing.h"
#include "recordings.h"
#include "spectrogram.h"

namespace {

using poise::Split;

enum Input { audio, image };  // in the order of modalities()

/// Beside the library that holds this function.
std::filesystem::path bundled_sample() {
  Dl_info library{};
  if (dladdr(reinterpret_cast<const void*>(&bundled_sample), &library) == 0) return "sample";
  return std::filesystem::absolute(library.dli_fname).parent_path() / "sample";
}

class AvDigits : public poise::Dataset {
 public:
  explicit AvDigits(poise::Config& config)
      : root_(config.path("root", "", "folder that holds mnist/ and fsdd/; empty: the bundled sample")),
        pairs_(config.integer("pairs_per_recording", 4, {.min = 1, .max = 1000},
                              "images that each recording is paired with, one sample each")),
        seed_(config.integer("pairing_seed", 0, {.min = 0, .max = 4294967295.0},
                             "decides which images a recording is paired with, and the babble")),
        energy_(config.number("image_energy", 1.0, {.min = 0.01, .max = 1},
                              "share of the images' PCA energy that is kept; 1: images as they are")),
        snr_(config.number("noise_snr", std::numeric_limits<double>::infinity(), {.min = -40},
                           "signal-to-noise ratio in dB of the babble in the recordings; inf: none")),
        size_(config.integer("spectrogram", 112, {.min = 16, .max = 256},
                             "height and width of the audio input")) {
    if (root_.empty()) root_ = bundled_sample();
  }

  [[nodiscard]] std::vector<poise::Modality> modalities() const override {
    return {{"audio", {1, size_, size_}}, {"image", {1, 28, 28}}};
  }

  [[nodiscard]] poise::Task task() const override {
    return {poise::TaskKind::classification, 10, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
  }

  [[nodiscard]] std::vector<std::filesystem::path> files() const override {
    auto files = av_digits::image_files(mnist());
    for (const auto& recording : av_digits::list_recordings(fsdd())) files.push_back(recording.path);
    if (files.empty()) no_data();
    std::sort(files.begin(), files.end());
    return files;
  }

  void build(const poise::DatasetSpec& spec) override;

  [[nodiscard]] std::int64_t size(Split split) const override {
    const auto& targets = parts_[static_cast<std::size_t>(split)].targets;
    return targets.defined() ? targets.size(0) : 0;
  }

  [[nodiscard]] poise::Batch fetch(Split split, const torch::Tensor& ids,
                                   std::uint64_t /*seed*/) const override {
    const Part& part = parts_[static_cast<std::size_t>(split)];
    poise::Batch batch;
    batch.ids = ids;
    batch.targets = part.targets.index_select(0, ids);
    for (const int input : inputs_) {
      const auto rows = part.rows[static_cast<std::size_t>(input)].index_select(0, ids);
      batch.inputs.push_back(
          features_[static_cast<std::size_t>(input)].index_select(0, rows).to(torch::kFloat));
    }
    batch.lengths.resize(inputs_.size());
    return batch;
  }

 private:
  /// A split: sample i is of class targets[i], and row rows[m][i] of the features of modality m.
  struct Part {
    torch::Tensor targets;
    std::array<torch::Tensor, 2> rows;
  };

  [[nodiscard]] std::filesystem::path mnist() const { return root_ / "mnist"; }
  [[nodiscard]] std::filesystem::path fsdd() const { return root_ / "fsdd" / "recordings"; }

  [[noreturn]] void no_data() const {
    throw poise::Error(
        "there are no data at " + root_.string() +
            ": av_digits looks there for mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz and "
            "fsdd/recordings/{digit}_{speaker}_{take}.wav (or .flac); set the option root.",
        poise::Fault::usage);
  }

  void build_audio(const std::vector<av_digits::Recording>& recordings, int threads);
  void build_image(int threads);

  std::filesystem::path root_;
  std::int64_t pairs_;
  std::int64_t seed_;
  double energy_;
  double snr_;
  std::int64_t size_;

  std::vector<int> inputs_;
  std::array<Part, 3> parts_;
  std::array<torch::Tensor, 2> features_;
};

void AvDigits::build(const poise::DatasetSpec& spec) {
  const auto recordings = av_digits::list_recordings(fsdd());
  if (recordings.empty()) no_data();
  av_digits::check_complete(recordings, fsdd());
  std::array<std::vector<std::int64_t>, 3> digits;
  for (const auto& recording : recordings) {
    digits[static_cast<std::size_t>(recording.split)].push_back(recording.digit);
  }
  std::int64_t begin = 0;
  for (std::size_t split = 0; split < parts_.size(); ++split) {
    const auto own = torch::tensor(digits[split], torch::kLong);
    const auto rows = torch::arange(begin, begin + own.size(0));
    parts_[split] = {own.repeat_interleave(pairs_), {rows.repeat_interleave(pairs_), {}}};
    begin += own.size(0);
  }
  inputs_ = spec.modalities;
  for (const int input : inputs_) {
    if (input == audio) build_audio(recordings, spec.threads);
    if (input == image) build_image(spec.threads);
  }
}

void AvDigits::build_audio(const std::vector<av_digits::Recording>& recordings, int threads) {
  std::vector<std::filesystem::path> files;
  files.reserve(recordings.size());
  for (const auto& recording : recordings) files.push_back(recording.path);
  std::ostringstream description;
  description << std::hexfloat << "audio, size " << size_ << ", snr " << snr_ << ", seed "
              << (std::isfinite(snr_) ? seed_ : 0) << ", files " << av_digits::content_of(files, threads);
  features_[audio] =
      av_digits::cached(description.str(), {static_cast<std::int64_t>(recordings.size()), 1, size_, size_},
                        [&] { return av_digits::audio_features(recordings, size_, snr_, seed_, threads); });
}

void AvDigits::build_image(int threads) {
  const auto labels = av_digits::read_labels(mnist());
  std::array<torch::Tensor, 3> paired;
  for (std::size_t split = 0; split < parts_.size(); ++split) {
    const auto digits = parts_[split].targets.slice(0, 0, {}, pairs_);
    const auto own = labels.labels.slice(0, labels.begin[split], labels.begin[split + 1]);
    const auto random = av_digits::generator(seed_, av_digits::Stream::pairing, static_cast<int>(split));
    paired[split] = labels.begin[split] + av_digits::pair_images(digits, own, pairs_, random);
  }
  // Only the images that are in some pair are kept: rows of the features are numbers into `wanted`.
  const auto [wanted, rows] = at::_unique(torch::cat(paired), /*sorted=*/true, /*return_inverse=*/true);
  std::int64_t begin = 0;
  for (auto& part : parts_) {
    part.rows[image] = rows.slice(0, begin, begin + part.targets.size(0)).clone();
    begin += part.targets.size(0);
  }
  std::ostringstream description;
  description << std::hexfloat << "image, energy " << energy_ << ", images "
              << poise::sha256(std::string(static_cast<const char*>(wanted.data_ptr()), wanted.nbytes()))
              << ", files " << av_digits::content_of(av_digits::image_files(mnist()), threads);
  features_[image] = av_digits::cached(
      description.str(), {wanted.size(0), 1, 28, 28},
      [&, &numbers = wanted] { return av_digits::image_features(mnist(), labels, numbers, energy_); });
}

}  // namespace

POISE_DATASET(AvDigits, "av_digits", "written and spoken digits: MNIST images paired with recordings");
