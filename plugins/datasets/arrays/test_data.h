#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <poise/dataset.h>
#include <poise/testing.h>
#include <poise/testing_folder.h>

/// A .npy file of these parts; the header is padded as the format wants it.
void write_raw(const std::filesystem::path& path, const std::string& dictionary, const std::string& values,
               int version = 1);
/// As numpy.save writes the tensor.
void write_npy(const std::filesystem::path& path, const torch::Tensor& values);

/// The text of the Error (usage) that `work` throws; fails when it throws none.
std::string error_of(const std::function<void()>& work);

/// All samples of a split.
poise::Batch all(const poise::Dataset& dataset, poise::Split split);

/// A folder of its own with data of three classes: 12 training, 3 validation and 4 test samples, each with a
/// sequence "audio" (float32, up to 4 steps of 2, ones after its end) and an "image" (uint8, 2 x 3). Sample i
/// of split s has the values 1000 s + 8 i + 0, 1, ... in audio, 50 s + i in the image, the length 1 + i % 4
/// and the class i % 3.
class ArraysTest : public ::testing::Test {
 protected:
  ArraysTest();

  /// NAME_SPLIT.npy
  [[nodiscard]] std::filesystem::path file(const std::string& name, const std::string& split) const;
  /// Of all three splits, or of train and test.
  void write(const std::string& name, const std::vector<torch::Tensor>& values) const;
  /// The dataset's table: `top`, then the files, those of the validation split when asked for.
  [[nodiscard]] std::string options(const std::string& top = "outputs = 3\n",
                                    bool has_validation = true) const;
  /// A table of TOML that names the files of NAME.
  [[nodiscard]] std::string table(const std::string& key, const std::string& name,
                                  bool has_validation = true) const;

  static std::shared_ptr<poise::Dataset> built(const std::string& options,
                                               const std::vector<int>& modalities = {0, 1});

  poise::testing::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
};
