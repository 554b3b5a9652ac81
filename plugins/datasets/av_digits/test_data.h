#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <poise/dataset.h>
#include <poise/testing.h>
#include <poise/testing_folder.h>

/// Each test has a folder of its own, and a cache in it.
class AvDigitsTest : public ::testing::Test {
 protected:
  AvDigitsTest();
  ~AvDigitsTest() override;

  poise::testing::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();

 private:
  std::optional<std::string> cache_before_;
};

/// The plugin with these options (TOML).
inline std::shared_ptr<poise::Dataset> declared(const std::string& options) {
  return poise::testing::make<poise::Dataset>(options);
}
/// And its data prepared.
std::shared_ptr<poise::Dataset> built(const std::string& options, const std::vector<int>& modalities = {0, 1},
                                      int threads = 2);
/// `root = "..."` and a newline.
std::string root_is(const std::filesystem::path& root);

/// All samples of a split.
poise::Batch all(const poise::Dataset& dataset, poise::Split split);
/// How many different rows there are.
std::int64_t different(const torch::Tensor& rows);

/// The text of the Error that `work` throws; fails when it throws none.
std::string error_of(const std::function<void()>& work);
bool contains(const std::string& text, const std::string& part);

void write_wav(const std::filesystem::path& path, const std::vector<float>& samples, int rate = 8000,
               int channels = 1);
/// `seconds` of a tone.
std::vector<float> tone(double hertz, double seconds, double loudness = 0.5);
/// An IDX file of uint8 values, compressed when its name ends in .gz.
void write_idx(const std::filesystem::path& path, const torch::Tensor& values);

/// A small root: per digit d three recordings of train, one of validation and two of test, each a tone of 300 + 300 d
/// Hz of its own loudness; 60 training and 20 test images, all different, whose row 2 d is white.
void write_root(const std::filesystem::path& root);
