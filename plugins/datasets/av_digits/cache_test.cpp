#include "cache.h"

#include <fstream>

#include <ATen/Parallel.h>
#include <poise/files.h>

#include "test_data.h"

namespace fs = std::filesystem;
using poise::Split;

namespace {

/// The files of the test's cache whose names end so.
std::vector<fs::path> kept(const std::string& ending) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(poise::cache_directory() / "av_digits")) {
    if (entry.path().extension() == ending) files.push_back(entry.path());
  }
  return files;
}

void expect_equal(const poise::Dataset& a, const poise::Dataset& b) {
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    const auto one = all(a, split);
    const auto two = all(b, split);
    EXPECT_TRUE(torch::equal(one.inputs[0], two.inputs[0]));
    EXPECT_TRUE(torch::equal(one.inputs[1], two.inputs[1]));
    EXPECT_TRUE(torch::equal(one.targets, two.targets));
  }
}

TEST_F(AvDigitsTest, WhatComesFromTheCacheEqualsWhatWasComputed) {
  write_root(folder_);
  const auto options = root_is(folder_) + "noise_snr = 3\nimage_energy = 0.5";
  const auto computed = built(options);
  const auto files = kept(".features");
  ASSERT_EQ(files.size(), 2U);
  const auto first = fs::last_write_time(files[0]);
  const auto loaded = built(options);
  expect_equal(*computed, *loaded);
  EXPECT_EQ(fs::last_write_time(files[0]), first) << "it was computed again";
  EXPECT_EQ(kept(".features").size(), 2U);
}

TEST_F(AvDigitsTest, ADamagedCacheIsRebuilt) {
  write_root(folder_);
  const auto computed = built(root_is(folder_));
  for (const std::string ending : {".features", ".content"}) {
    for (const auto& path : kept(ending)) {
      const auto good = poise::read_file(path);
      auto flipped = good;
      flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 0x80);
      for (const auto& bad : {flipped, good.substr(0, good.size() - 1), std::string(), good + "x"}) {
        std::ofstream(path, std::ios::binary) << bad;
        expect_equal(*computed, *built(root_is(folder_)));
        EXPECT_EQ(poise::read_file(path), good);
      }
    }
  }
}

TEST_F(AvDigitsTest, WhatOtherCodeComputedIsMadeAnew) {
  write_root(folder_);
  const auto computed = built(root_is(folder_));
  for (const auto& path : kept(".features")) {
    const auto good = poise::read_file(path);
    auto other = good;
    other[16] = static_cast<char>(other[16] ^ 1);  // of the library's hash
    std::ofstream(path, std::ios::binary) << other;
    expect_equal(*computed, *built(root_is(folder_)));
    EXPECT_EQ(poise::read_file(path), good);
  }
}

TEST_F(AvDigitsTest, WhatDeterminesTheFeaturesHasItsOwnEntry) {
  write_root(folder_);
  std::size_t entries = 0;
  const auto expect_new = [&](const std::string& options, std::size_t more) {
    built(root_is(folder_) + options);
    EXPECT_EQ(kept(".features").size(), entries += more) << options;
  };
  expect_new("pairs_per_recording = 1", 2);
  expect_new("pairs_per_recording = 1\npairing_seed = 0", 0);
  expect_new("pairs_per_recording = 1\nspectrogram = 16", 1);
  expect_new("pairs_per_recording = 1\nnoise_snr = 0", 1);
  expect_new("pairs_per_recording = 1\nnoise_snr = 1", 1);
  expect_new("pairs_per_recording = 1\nimage_energy = 0.5", 1);
  expect_new("pairs_per_recording = 1\npairing_seed = 1", 1);                 // other images, the same audio
  expect_new("pairs_per_recording = 1\npairing_seed = 1\nnoise_snr = 0", 1);  // other babble
  expect_new("pairs_per_recording = 2", 1);
  write_wav(folder_ / "fsdd" / "recordings" / "3_ann_0.wav", tone(1234, 0.4));
  expect_new("pairs_per_recording = 2", 1);
}

TEST_F(AvDigitsTest, FilesThatDidNotChangeAreNotReadAgain) {
  write_root(folder_);
  const std::vector<fs::path> files = {folder_ / "mnist" / "train-labels-idx1-ubyte"};
  const auto content = av_digits::content_of(files, 1);
  EXPECT_EQ(content, av_digits::content_of(files, 1));
  // An entry that only the cache can know.
  const std::string marker(64, 'a');
  std::ofstream(kept(".content").at(0)) << marker;
  EXPECT_EQ(av_digits::content_of(files, 1), marker);
  write_idx(files[0], torch::arange(60).remainder(10));
  EXPECT_EQ(av_digits::content_of(files, 1), content) << "the same bytes, written later";
}

TEST_F(AvDigitsTest, ACacheThatCannotBeWrittenDoesNotFailTheRun) {
  write_root(folder_);
  const auto computed = built(root_is(folder_));
  std::ofstream(folder_ / "file") << "no folder";
  setenv("XDG_CACHE_HOME", (folder_ / "file").c_str(), 1);
  testing::internal::CaptureStderr();
  const auto uncached = built(root_is(folder_));
  const auto said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(said, "not kept for the next start")) << said;
  EXPECT_TRUE(contains(said, (folder_ / "file").string())) << said;
  expect_equal(*computed, *uncached);
}

TEST_F(AvDigitsTest, TheNumberOfThreadsChangesNoBit) {
  const auto options = root_is(SAMPLE) + "spectrogram = 32\nnoise_snr = 0\nimage_energy = 0.25";
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = built(options, {0, 1}, 1);
  fs::remove_all(poise::cache_directory());
  at::set_num_threads(4);
  const auto four = built(options, {0, 1}, 4);
  at::set_num_threads(threads);
  expect_equal(*one, *four);
}

}  // namespace
