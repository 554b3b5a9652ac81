#include "recordings.h"

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <memory>
#include <string>

#include <poise/error.h>

#include "parallel.h"

namespace av_digits {
namespace {

constexpr const char* takes[] = {"10 and over", "5 to 9", "0 to 4"};  // of each split

/// The recording at `path`, by its name {digit}_{speaker}_{take}.
Recording parse(const std::filesystem::path& path) {
  const std::string name = path.stem().string();
  const std::size_t last = name.rfind('_');
  int take = 0;
  bool good = name.size() > 2 && name[0] >= '0' && name[0] <= '9' && name[1] == '_' && last > 2;
  if (good) {
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + last + 1, end, take);
    good = error == std::errc() && rest == end && take >= 0;
  }
  if (!good) {
    throw poise::Error(
        path.string() +
        " is not named as {digit}_{speaker}_{take}, for example 7_theo_12.wav; rename it, or move "
        "it out of this folder.");
  }
  const auto split = take < 5    ? poise::Split::test
                     : take < 10 ? poise::Split::validation
                                 : poise::Split::train;
  return {path, name[0] - '0', split};
}

/// libsndfile takes a WAV file that was cut off for a shorter one. Its first chunk tells how long it should be.
bool is_cut_off(const std::filesystem::path& path) {
  std::array<char, 8> head{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(head.data(), head.size()) || !std::equal(head.begin(), head.begin() + 4, "RIFF"))
    return false;
  std::uint64_t stated = 8;
  for (std::size_t i = 0; i < 4; ++i) {
    stated += std::uint64_t{static_cast<unsigned char>(head[4 + i])} << (8 * i);
  }
  file.seekg(0, std::ios::end);
  return static_cast<std::uint64_t>(file.tellg()) < stated;
}

/// Reads the first `capacity` samples of the recording into `samples`; returns how many there were.
std::int64_t read_signal(const std::filesystem::path& path, float* samples, std::int64_t capacity) {
  const auto damaged = [&](const std::string& why) {
    return poise::Error(path.string() + " is damaged: " + why + "; fetch it again.");
  };
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file(sf_open(path.c_str(), SFM_READ, &info), sf_close);
  if (!file) throw damaged(std::string("libsndfile cannot read it (") + sf_strerror(nullptr) + ")");
  if (info.channels != 1 || info.samplerate != sample_rate) {
    throw poise::Error(path.string() + " has " + std::to_string(info.channels) + " channel(s) at " +
                       std::to_string(info.samplerate) +
                       " Hz, and av_digits needs one channel at 8000 Hz; convert it.");
  }
  if (is_cut_off(path)) throw damaged("it ends before its header says");
  // All of it, so that damage after the samples wanted is noticed too.
  std::int64_t total = 0;
  std::array<float, 4096> block{};
  while (const sf_count_t count = sf_read_float(file.get(), block.data(), block.size())) {
    for (sf_count_t i = 0; i < count; ++i) {
      if (!std::isfinite(block[static_cast<std::size_t>(i)]))
        throw damaged("a sample is not a finite number");
    }
    const std::int64_t fits = std::clamp<std::int64_t>(capacity - total, 0, count);
    std::copy_n(block.begin(), fits, samples + std::min(total, capacity));
    total += count;
  }
  if (sf_error(file.get()) != SF_ERR_NO_ERROR) throw damaged(sf_strerror(file.get()));
  if (total != info.frames) throw damaged("it ends before its header says");
  if (total == 0) throw damaged("it holds no sound");
  return std::min(total, capacity);
}

}  // namespace

std::vector<Recording> list_recordings(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return {};
  std::vector<Recording> recordings;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const auto& path = entries->path();
    if (path.extension() == ".wav" || path.extension() == ".flac") recordings.push_back(parse(path));
  }
  if (error) throw poise::Error("cannot read the folder " + folder.string() + ": " + error.message() + ".");
  std::sort(recordings.begin(), recordings.end(), [](const Recording& a, const Recording& b) {
    return a.split != b.split ? a.split < b.split : a.path.native() < b.path.native();
  });
  const auto twice = std::adjacent_find(
      recordings.begin(), recordings.end(),
      [](const Recording& a, const Recording& b) { return a.path.stem() == b.path.stem(); });
  if (twice != recordings.end()) {
    throw poise::Error((folder / twice->path.stem()).string() +
                       " is there as .flac and as .wav, and one recording must not count twice; remove one.");
  }
  return recordings;
}

void check_complete(const std::vector<Recording>& recordings, const std::filesystem::path& folder) {
  std::array<std::array<int, 10>, 3> count{};
  for (const auto& recording : recordings) {
    ++count[static_cast<std::size_t>(recording.split)][static_cast<std::size_t>(recording.digit)];
  }
  for (std::size_t split = 0; split < count.size(); ++split) {
    const auto missing = std::find(count[split].begin(), count[split].end(), 0);
    if (missing == count[split].end()) continue;
    const bool empty = std::all_of(count[split].begin(), count[split].end(), [](int n) { return n == 0; });
    const auto digit = std::to_string(missing - count[split].begin());
    throw poise::Error(folder.string() + " has no recording " + (empty ? "" : "of the digit " + digit + " ") +
                       "with a take of " + takes[split] + ", which the " +
                       poise::name(static_cast<poise::Split>(split)) + " split is made of.");
  }
}

Signals read_signals(const std::vector<Recording>& recordings, std::int64_t samples, int threads) {
  const auto count = static_cast<std::int64_t>(recordings.size());
  Signals signals{torch::zeros({count, samples}), torch::zeros({count}, torch::kLong)};
  auto* const sound = signals.samples.data_ptr<float>();
  auto* const lengths = signals.lengths.data_ptr<std::int64_t>();
  in_parallel(count, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      lengths[i] = read_signal(recordings[static_cast<std::size_t>(i)].path, sound + i * samples, samples);
    }
  });
  return signals;
}

}  // namespace av_digits
