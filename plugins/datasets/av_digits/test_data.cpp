#include "test_data.h"

#include <sndfile.h>
#include <zlib.h>

#include <cmath>
#include <cstdlib>
#include <numbers>

#include <ATen/ops/unique_dim.h>

namespace fs = std::filesystem;

AvDigitsTest::AvDigitsTest() {
  if (const char* before = std::getenv("XDG_CACHE_HOME")) cache_before_ = before;
  setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
}

AvDigitsTest::~AvDigitsTest() {
  if (cache_before_) {
    setenv("XDG_CACHE_HOME", cache_before_->c_str(), 1);
  } else {
    unsetenv("XDG_CACHE_HOME");
  }
}

std::shared_ptr<poise::Dataset> built(const std::string& options, const std::vector<int>& modalities,
                                      int threads) {
  auto dataset = declared(options);
  dataset->build({.modalities = modalities, .threads = threads});
  return dataset;
}

std::string root_is(const fs::path& root) { return "root = '" + root.string() + "'\n"; }

poise::Batch all(const poise::Dataset& dataset, poise::Split split) {
  return dataset.fetch(split, torch::arange(dataset.size(split)), 0);
}

std::int64_t different(const torch::Tensor& rows) {
  return std::get<0>(at::unique_dim(rows.flatten(1), 0)).size(0);
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const poise::Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void write_wav(const fs::path& path, const std::vector<float>& samples, int rate, int channels) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = (path.extension() == ".flac" ? SF_FORMAT_FLAC : SF_FORMAT_WAV) | SF_FORMAT_PCM_16;
  SNDFILE* const file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << path;
  sf_write_float(file, samples.data(), static_cast<sf_count_t>(samples.size()));
  sf_close(file);
}

std::vector<float> tone(double hertz, double seconds, double loudness) {
  std::vector<float> samples(static_cast<std::size_t>(8000 * seconds));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double phase = 2 * std::numbers::pi * hertz * static_cast<double>(i) / 8000;
    samples[i] = static_cast<float>(loudness * std::sin(phase));
  }
  return samples;
}

void write_idx(const fs::path& path, const torch::Tensor& values) {
  std::string bytes = {0, 0, 8, static_cast<char>(values.dim())};
  for (const std::int64_t size : values.sizes()) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 255);
  }
  const auto plain = values.to(torch::kUInt8).contiguous();
  bytes.append(static_cast<const char*>(plain.data_ptr()), plain.nbytes());
  const gzFile file = gzopen(path.c_str(), path.extension() == ".gz" ? "wb" : "wbT");
  ASSERT_NE(file, nullptr) << path;
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

namespace {

void write_images(const fs::path& mnist, const std::string& name, std::int64_t count) {
  const auto labels = torch::arange(count).remainder(10);
  auto images = torch::zeros({count, 28, 28}, torch::kUInt8);
  for (std::int64_t i = 0; i < count; ++i) {
    images[i][i % 10 * 2] = 255;
    images[i][24 + i / 28][i % 28] = name == "train" ? 100 : 200;  // makes it unlike all others
  }
  write_idx(mnist / (name + "-images-idx3-ubyte.gz"), images);
  write_idx(mnist / (name + "-labels-idx1-ubyte"), labels);
}

}  // namespace

void write_root(const fs::path& root) {
  fs::create_directories(root / "mnist");
  fs::create_directories(root / "fsdd" / "recordings");
  for (int digit = 0; digit < 10; ++digit) {
    for (const int take : {0, 4, 5, 10, 11, 120}) {
      const auto name =
          std::to_string(digit) + "_ann_" + std::to_string(take) + (take < 10 ? ".wav" : ".flac");
      write_wav(root / "fsdd" / "recordings" / name, tone(300 + 300 * digit, 0.4, 0.2 + 0.005 * take));
    }
  }
  write_images(root / "mnist", "train", 60);
  write_images(root / "mnist", "t10k", 20);
}
