// PCA, spectrogram and noise against values of tests/oracles/preprocessing.py.
#include <cmath>
#include <fstream>
#include <numbers>

#include <nlohmann/json.hpp>

#include "images.h"
#include "pairing.h"
#include "spectrogram.h"
#include "test_data.h"

namespace {

const nlohmann::json& oracle() {
  static const auto values = nlohmann::json::parse(std::ifstream(POISE_ORACLES "/preprocessing.json"));
  return values;
}

torch::Tensor vector(const nlohmann::json& values) {
  return torch::tensor(values.get<std::vector<double>>(), torch::kDouble);
}

torch::Tensor matrix(const nlohmann::json& rows) {
  std::vector<torch::Tensor> all;
  for (const auto& row : rows) all.push_back(vector(row));
  return torch::stack(all);
}

double distance(const torch::Tensor& a, const torch::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Preparation, PcaKeepsTheShareOfTheOracle) {
  const auto& pca = oracle().at("pca");
  const auto train = matrix(pca.at("train"));
  const auto test = matrix(pca.at("test"));
  ASSERT_EQ(pca.at("kept").size(), 5U);
  for (const auto& kept : pca.at("kept")) {
    const double share = kept.at("share");
    const auto fitted = av_digits::fit_pca(train, share);
    EXPECT_LT(distance(av_digits::project(fitted, train), matrix(kept.at("train"))), 1e-12) << share;
    EXPECT_LT(distance(av_digits::project(fitted, test), matrix(kept.at("test"))), 1e-12) << share;
    const auto components = fitted.basis.defined() ? fitted.basis.size(1) : train.size(1);
    EXPECT_EQ(components, kept.at("components").get<std::int64_t>()) << share;
  }
  EXPECT_TRUE(torch::equal(av_digits::project(av_digits::fit_pca(train, 1), test), test));
}

TEST(Preparation, SpectrogramIsThatOfTheOracle) {
  const auto& expected = oracle().at("spectrogram");
  const auto signal = vector(expected.at("signal")).unsqueeze(0);
  const auto values =
      av_digits::log_spectrogram(signal, expected.at("window"), expected.at("hop"), 1e-7).squeeze(0);
  EXPECT_EQ(values.sizes().vec(), expected.at("shape").get<std::vector<std::int64_t>>());
  const auto bins = torch::tensor(expected.at("bins").get<std::vector<std::int64_t>>());
  const auto frames = torch::tensor(expected.at("frames").get<std::vector<std::int64_t>>());
  const auto shown = values.index_select(0, bins).index_select(1, frames);
  EXPECT_LT(distance(shown, matrix(expected.at("values"))), 1e-9);
  const auto peaks = torch::tensor(expected.at("peaks").get<std::vector<std::int64_t>>());
  EXPECT_TRUE(torch::equal(values.argmax(0), peaks));
}

TEST(Preparation, NoiseHasTheLevelOfTheOracle) {
  const auto& mixing = oracle().at("mixing");
  const auto signal = vector(mixing.at("signal")).unsqueeze(0);
  const auto noise = vector(mixing.at("noise")).unsqueeze(0);
  ASSERT_EQ(mixing.at("cases").size(), 3U);
  for (const auto& expected : mixing.at("cases")) {
    const auto scaled = av_digits::at_snr(noise, signal.square().mean(1), expected.at("snr_db"));
    EXPECT_LT(distance(scaled[0], vector(expected.at("scaled"))), 1e-12);
    EXPECT_LT(distance((signal + scaled)[0], vector(expected.at("mixed"))), 1e-12);
  }
}

TEST(Preparation, EverySizeIsReachedExactly) {
  for (std::int64_t size = 16; size <= 256; ++size) {
    const auto plan = av_digits::geometry(size);
    const std::int64_t fine = plan.pooling * size;
    EXPECT_EQ(plan.n_fft / 2, fine) << size;
    EXPECT_EQ(1 + plan.samples / plan.hop, fine) << size;
    EXPECT_LE(2 * plan.hop, plan.n_fft) << "neighbouring windows overlap by half, size " << size;
    EXPECT_LE(plan.samples, 8000) << size;
    EXPECT_GE(plan.samples, 7700) << size;
  }
  EXPECT_EQ(av_digits::geometry(112).pooling, 1);
  EXPECT_EQ(av_digits::geometry(112).hop, 72);
}

/// Eight signals of different lengths and loudness.
av_digits::Signals signals() {
  av_digits::Signals result{torch::zeros({8, 4000}), torch::arange(500, 4500, 500)};
  auto random = av_digits::generator(7, av_digits::Stream::noise, 0);
  for (std::int64_t i = 0; i < 8; ++i) {
    const std::int64_t length = 500 * (i + 1);
    result.samples[i].slice(0, 0, length) =
        torch::randn({length}, random) * (0.1 * (1.0 + static_cast<double>(i)));
  }
  return result;
}

TEST(Preparation, BabbleIsAtTheRatioToTheRecordingWithoutItsZeros) {
  const auto clean = signals();
  for (const double snr : {-5.0, 0.0, 20.0}) {
    const auto noisy =
        av_digits::with_babble(clean, snr, av_digits::generator(1, av_digits::Stream::noise, 0));
    const auto noise = (noisy - clean.samples).to(torch::kDouble);
    for (std::int64_t i = 0; i < 8; ++i) {
      const auto own = clean.samples[i].slice(0, 0, 500 * (i + 1)).to(torch::kDouble);
      const auto ratio = (own.square().mean() / noise[i].square().mean()).item<double>();
      EXPECT_NEAR(10 * std::log10(ratio), snr, 1e-4);
      EXPECT_GT(noise[i].slice(0, 3500).square().mean().item<double>(), 0) << "it lasts until the end";
    }
  }
}

TEST(Preparation, BabbleIsOfFiveOthersAtEqualPower) {
  // Each signal is a tone of its own pitch, so that the spectrum tells who is in a babble.
  av_digits::Signals tones{torch::zeros({8, 4096}), torch::full({8}, 4096, torch::kLong)};
  const auto time = torch::arange(4096, torch::kDouble);
  for (std::int64_t i = 0; i < 8; ++i) {
    tones.samples[i] = (time * (2 * std::numbers::pi * static_cast<double>(i + 1) / 64)).sin() *
                       (0.05 * static_cast<double>(i + 1));
  }
  const auto noisy = av_digits::with_babble(tones, 0, av_digits::generator(5, av_digits::Stream::noise, 0));
  const auto spectrum = torch::fft_rfft(noisy - tones.samples).abs();
  for (std::int64_t i = 0; i < 8; ++i) {
    std::vector<double> present;
    for (std::int64_t j = 0; j < 8; ++j) {
      const auto height = spectrum[i][64 * (j + 1)].item<double>();
      if (height < 1) continue;
      EXPECT_NE(i, j) << "a recording is no noise to itself";
      present.push_back(height);
    }
    ASSERT_EQ(present.size(), 5U);
    for (const double height : present) EXPECT_NEAR(height, present[0], 1e-3 * present[0]);
  }
}

TEST(Preparation, PairsUseEveryImageOfAClassBeforeOneAgain) {
  const auto digits = torch::tensor({3, 0, 3, 3}, torch::kLong);
  const auto labels = torch::tensor({3, 0, 3, 0, 3, 0, 3, 3, 9}, torch::kLong);  // five of 3, three of 0
  const auto random = [](std::int64_t seed) {
    return av_digits::generator(seed, av_digits::Stream::pairing, 0);
  };
  const auto images = av_digits::pair_images(digits, labels, 4, random(1));
  ASSERT_EQ(images.size(0), 16);
  EXPECT_TRUE(torch::equal(labels.index_select(0, images), digits.repeat_interleave(4)));
  const auto times = torch::bincount(images, {}, 9);
  for (const int three : {0, 2, 4, 6, 7}) {
    EXPECT_GE(times[three].item<int>(), 2) << "twelve draws of five images";
    EXPECT_LE(times[three].item<int>(), 3);
  }
  EXPECT_EQ(times[8].item<int>(), 0);
  EXPECT_TRUE(torch::equal(images, av_digits::pair_images(digits, labels, 4, random(1))));
  EXPECT_FALSE(torch::equal(images, av_digits::pair_images(digits, labels, 4, random(2))));
}

}  // namespace
