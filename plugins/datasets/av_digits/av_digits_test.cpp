#include <dlfcn.h>

#include <cstdlib>
#include <thread>

#include <ATen/ops/linalg_svd.h>
#include <poise/conformance_test.h>

#include "idx.h"
#include "recordings.h"
#include "spectrogram.h"
#include "test_data.h"

namespace fs = std::filesystem;
using poise::Split;

namespace {

constexpr Split splits[] = {Split::train, Split::validation, Split::test};
const std::string small = root_is(SAMPLE) + "spectrogram = 16\n";

torch::Tensor sample_images(const std::string& name) {
  return av_digits::read_idx(fs::path(SAMPLE) / "mnist" / (name + "-images-idx3-ubyte.gz"), 3).flatten(1);
}

/// Of each row of `rows` the index of the nearest of `others`.
torch::Tensor nearest(const torch::Tensor& rows, const torch::Tensor& others) {
  return torch::cdist(rows.flatten(1).to(torch::kDouble), others.flatten(1).to(torch::kDouble)).argmin(1);
}

TEST_F(AvDigitsTest, TellsShapesAndTaskBeforeItReadsAnything) {
  const auto dataset = declared(root_is(folder_ / "nowhere"));
  ASSERT_EQ(dataset->modalities().size(), 2U);
  EXPECT_EQ(dataset->modalities()[0].name, "audio");
  EXPECT_EQ(dataset->modalities()[0].shape, (std::vector<std::int64_t>{1, 112, 112}));
  EXPECT_FALSE(dataset->modalities()[0].is_sequence);
  EXPECT_EQ(dataset->modalities()[1].name, "image");
  EXPECT_EQ(dataset->modalities()[1].shape, (std::vector<std::int64_t>{1, 28, 28}));
  EXPECT_EQ(dataset->task().outputs, 10);
  EXPECT_EQ(dataset->task().labels.size(), 10U);
  EXPECT_EQ(dataset->task().labels[7], "7");
}

TEST_F(AvDigitsTest, GivesTheShapesItTellsAndTheSizesOfTheSample) {
  const auto dataset = built(root_is(SAMPLE));
  EXPECT_EQ(dataset->size(Split::train), 480 * 4);
  EXPECT_EQ(dataset->size(Split::validation), 120 * 4);
  EXPECT_EQ(dataset->size(Split::test), 180 * 4);
  const auto ids = torch::tensor({5, 0, 5}, torch::kLong);
  const auto batch = dataset->fetch(Split::train, ids, 3);
  EXPECT_TRUE(torch::equal(batch.ids, ids));
  ASSERT_EQ(batch.inputs.size(), 2U);
  ASSERT_EQ(batch.lengths.size(), 2U);
  EXPECT_FALSE(batch.lengths[0].defined());
  EXPECT_EQ(batch.inputs[0].sizes(), (std::vector<std::int64_t>{3, 1, 112, 112}));
  EXPECT_EQ(batch.inputs[1].sizes(), (std::vector<std::int64_t>{3, 1, 28, 28}));
  EXPECT_EQ(batch.inputs[0].scalar_type(), torch::kFloat);
  EXPECT_EQ(batch.inputs[1].scalar_type(), torch::kFloat);
  EXPECT_EQ(batch.targets.scalar_type(), torch::kLong);
  EXPECT_TRUE(torch::equal(batch.inputs[0][0], batch.inputs[0][2]));
  EXPECT_FALSE(torch::equal(batch.inputs[0][0], batch.inputs[0][1]));
}

TEST_F(AvDigitsTest, SplitsShareNoRecordingAndNoImage) {
  const auto dataset = built(small);
  std::vector<torch::Tensor> audio;
  std::vector<torch::Tensor> image;
  std::int64_t images = 0;
  for (const Split split : splits) {
    const auto batch = all(*dataset, split);
    audio.push_back(batch.inputs[0]);
    image.push_back(batch.inputs[1]);
    EXPECT_EQ(different(batch.inputs[0]), dataset->size(split) / 4) << poise::name(split);
    images += different(batch.inputs[1]);
  }
  EXPECT_EQ(different(torch::cat(audio)), 480 + 120 + 180);
  EXPECT_EQ(different(torch::cat(image)), images);
}

TEST_F(AvDigitsTest, NoImageOfAClassRepeatsWhileOthersAreLeft) {
  const auto dataset = built(small);
  EXPECT_EQ(different(all(*dataset, Split::train).inputs[1]), 480 * 4);
  // 18 recordings a digit, 60 images a digit: all are used once before one is used again.
  EXPECT_EQ(different(all(*dataset, Split::test).inputs[1]), 600);
}

TEST_F(AvDigitsTest, ImageRecordingAndTargetAreOfOneClass) {
  const auto dataset = built(small);
  const auto recordings = av_digits::list_recordings(fs::path(SAMPLE) / "fsdd" / "recordings");
  std::vector<std::int64_t> digits;
  digits.reserve(recordings.size());
  for (const auto& recording : recordings) digits.push_back(recording.path.filename().string()[0] - '0');
  const auto audio = av_digits::audio_features(recordings, 16, INFINITY, 0, 1);
  for (const Split split : splits) {
    const auto batch = all(*dataset, split);
    const auto file = std::string(split == Split::test ? "t10k" : "train");
    const auto labels = av_digits::read_idx(fs::path(SAMPLE) / "mnist" / (file + "-labels-idx1-ubyte.gz"), 1)
                            .to(torch::kLong);
    const auto pixels = sample_images("train").slice(0, 0, 3000).to(torch::kDouble) / 255;
    const auto images =
        (sample_images(file).to(torch::kDouble) / 255 - pixels.mean()) / pixels.std(/*unbiased=*/false);
    const auto image = nearest(batch.inputs[1], images);
    EXPECT_TRUE(torch::equal(labels.index_select(0, image), batch.targets)) << poise::name(split);
    const auto sound = nearest(batch.inputs[0], audio);
    EXPECT_TRUE(torch::equal(torch::tensor(digits).index_select(0, sound), batch.targets))
        << poise::name(split);
    if (split == Split::train) {
      EXPECT_LT(image.max().item<std::int64_t>(), 3000);
    } else if (split == Split::validation) {
      EXPECT_GE(image.min().item<std::int64_t>(), 3000);
    }
  }
}

TEST_F(AvDigitsTest, ATonesPitchAndAnImagesWhiteRowTellTheTarget) {
  write_root(folder_);
  const auto dataset = built(root_is(folder_) + "pairs_per_recording = 3");
  for (const Split split : splits) {
    const auto batch = all(*dataset, split);
    EXPECT_EQ(batch.size(), split == Split::train ? 90 : split == Split::validation ? 30 : 60);
    // Bin b holds 8000 (b + 1) / 224 Hz; the tone of digit d has 300 (d + 1).
    const auto bin = batch.inputs[0].mean({1, 3}).argmax(1);
    const auto digit = ((bin + 1) * (8000.0 / 224) / 300 - 1).round().to(torch::kLong);
    EXPECT_TRUE(torch::equal(digit, batch.targets)) << poise::name(split);
    const auto row = batch.inputs[1].slice(2, 0, 20).mean({1, 3}).argmax(1);
    EXPECT_TRUE(torch::equal(row, batch.targets * 2)) << poise::name(split);
  }
}

TEST_F(AvDigitsTest, TheSeedDecidesThePairs) {
  const auto one = all(*built(small + "pairing_seed = 1"), Split::train);
  const auto again = all(*built(small + "pairing_seed = 1"), Split::train);
  const auto two = all(*built(small + "pairing_seed = 2"), Split::train);
  EXPECT_TRUE(torch::equal(one.inputs[1], again.inputs[1]));
  EXPECT_TRUE(torch::equal(one.inputs[0], two.inputs[0]));
  EXPECT_TRUE(torch::equal(one.targets, two.targets));
  const auto same = (one.inputs[1] == two.inputs[1]).flatten(1).all(1).sum().item<std::int64_t>();
  EXPECT_LT(same, one.size() / 20);
}

TEST_F(AvDigitsTest, ParallelFetchEqualsSerialFetch) {
  const auto dataset = built(small + "noise_snr = 0\nimage_energy = 0.5");
  constexpr int threads = 8;
  std::vector<poise::Batch> batches(threads);
  {
    std::vector<std::jthread> running;
    running.reserve(threads);
    for (int i = 0; i < threads; ++i) {
      running.emplace_back([&, i] {
        for (int round = 0; round < 20; ++round) {
          batches[static_cast<std::size_t>(i)] =
              dataset->fetch(Split::train, torch::arange(i, 1900, 7 + i), 1);
        }
      });
    }
  }
  for (int i = 0; i < threads; ++i) {
    const auto serial = dataset->fetch(Split::train, torch::arange(i, 1900, 7 + i), 1);
    const auto& parallel = batches[static_cast<std::size_t>(i)];
    EXPECT_TRUE(torch::equal(serial.inputs[0], parallel.inputs[0]));
    EXPECT_TRUE(torch::equal(serial.inputs[1], parallel.inputs[1]));
    EXPECT_TRUE(torch::equal(serial.targets, parallel.targets));
  }
}

TEST_F(AvDigitsTest, DeliversTheModalitiesAskedForInTheirOrder) {
  const auto both = all(*built(small), Split::validation);
  const auto swapped = all(*built(small, {1, 0}), Split::validation);
  const auto alone = all(*built(small, {1}), Split::validation);
  EXPECT_TRUE(torch::equal(both.inputs[0], swapped.inputs[1]));
  EXPECT_TRUE(torch::equal(both.inputs[1], swapped.inputs[0]));
  ASSERT_EQ(alone.inputs.size(), 1U);
  ASSERT_EQ(alone.lengths.size(), 1U);
  EXPECT_TRUE(torch::equal(both.inputs[1], alone.inputs[0]));
  EXPECT_TRUE(torch::equal(both.targets, alone.targets));
}

TEST_F(AvDigitsTest, AudioAloneNeedsNoImages) {
  write_root(folder_);
  fs::remove_all(folder_ / "mnist");
  const auto dataset = built(root_is(folder_), {0});
  EXPECT_EQ(all(*dataset, Split::train).inputs[0].size(0), 120);
  EXPECT_EQ(dataset->files().size(), 60U);
}

TEST_F(AvDigitsTest, ZerosAreTheAverageInputOfTheTrainingSplit) {
  const auto audio = all(*built(small), Split::train).inputs[0].to(torch::kDouble);
  // A value of float16 is within 2^-11 of itself, and most of a spectrogram is one value, that of silence.
  EXPECT_NEAR(audio.mean().item<double>(), 0, 5e-4);
  EXPECT_NEAR(audio.std(/*unbiased=*/false).item<double>(), 1, 5e-4);
  // Images: by all of the split's images, not only those in a pair.
  const auto pixels = sample_images("train").slice(0, 0, 3000).to(torch::kDouble);
  const auto shown = all(*built(small), Split::test).inputs[1].to(torch::kDouble).flatten(1);
  const auto restored = (shown * pixels.std(/*unbiased=*/false) + pixels.mean()).round();
  const auto found =
      sample_images("t10k").to(torch::kDouble).index_select(0, nearest(restored, sample_images("t10k")));
  EXPECT_TRUE(torch::equal(found, restored)) << "with all energy kept, every pixel is that of the file";
}

TEST_F(AvDigitsTest, KeepsTheShareOfEnergyByComponentsOfTheTrainingImages) {
  const double share = 0.25;
  const auto clean = all(*built(small), Split::test).inputs[1].to(torch::kDouble).flatten(1);
  const auto kept =
      all(*built(small + "image_energy = 0.25"), Split::test).inputs[1].to(torch::kDouble).flatten(1);
  // A second way to the components: the singular vectors of the centred training images.
  const auto train = sample_images("train").slice(0, 0, 3000).to(torch::kDouble);
  const auto mean = train.mean(0);
  const auto [u, s, vh] = at::linalg_svd(train - mean, /*full_matrices=*/false);
  const auto cumulative = s.square().cumsum(0) / s.square().sum();
  const auto r = (cumulative < share).sum().item<std::int64_t>() + 1;
  EXPECT_GT(r, 1);
  const auto v = vh.slice(0, 0, r);
  const auto reduce = [&, &m = mean](const torch::Tensor& rows) { return m + (rows - m).mm(v.t()).mm(v); };
  const auto reduced = reduce(train);
  const auto expected = (reduce(clean * train.std(/*unbiased=*/false) + train.mean()) - reduced.mean()) /
                        reduced.std(/*unbiased=*/false);
  EXPECT_LT((expected - kept).abs().max().item<double>(), 0.01);
  EXPECT_GT((clean - kept).abs().mean().item<double>(), 0.1);
}

TEST_F(AvDigitsTest, BabbleIsOfTheSameSplit) {
  write_root(folder_);
  const auto before = all(*built(root_is(folder_) + "noise_snr = 0"), Split::test).inputs[0].flatten();
  EXPECT_FALSE(torch::equal(before, all(*built(root_is(folder_)), Split::test).inputs[0].flatten()));
  for (const auto& entry : fs::directory_iterator(folder_ / "fsdd" / "recordings")) {
    const auto name = entry.path().stem().string();
    if (!name.ends_with("_0") && !name.ends_with("_4")) write_wav(entry.path(), tone(150, 0.3));
  }
  // Only the shift and the scale, which are the training split's, may have changed.
  const auto after = all(*built(root_is(folder_) + "noise_snr = 0"), Split::test).inputs[0].flatten();
  const auto normal = [](const torch::Tensor& x) { return (x - x.mean()) / x.std(); };
  EXPECT_GT((before - after).abs().max().item<double>(), 0.1);
  EXPECT_LT((normal(before) - normal(after)).abs().max().item<double>(), 0.01);
}

TEST_F(AvDigitsTest, TheBuiltPluginFindsItsSampleFromAnyFolder) {
  const auto before = fs::current_path();
  fs::current_path("/");
  void* const library = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto* const plugin = static_cast<const PoisePlugin*>(dlsym(library, "poise_plugin"));
  ASSERT_NE(plugin, nullptr);
  auto config = poise::Config::parse("");
  const std::unique_ptr<poise::Dataset> dataset(static_cast<poise::Dataset*>(plugin->create(&config)));
  const auto files = dataset->files();
  fs::current_path(before);
  EXPECT_EQ(files.size(), 780U + 4U);
  EXPECT_TRUE(std::is_sorted(files.begin(), files.end()));
  EXPECT_EQ(files[0].parent_path().parent_path().parent_path(), fs::path(PLUGIN).parent_path() / "sample");
}

TEST_F(AvDigitsTest, FullData) {
  const char* const data = std::getenv("POISE_DATA");
  if (data == nullptr) GTEST_SKIP() << "POISE_DATA names no folder with the full MNIST and FSDD";
  const auto dataset = built(root_is(data) + "spectrogram = 16\nimage_energy = 0.25\nnoise_snr = 0");
  EXPECT_EQ(dataset->files().size(), 3004U);
  EXPECT_EQ(dataset->size(Split::train), 2400 * 4);
  EXPECT_EQ(dataset->size(Split::validation), 300 * 4);
  EXPECT_EQ(dataset->size(Split::test), 300 * 4);
  std::vector<torch::Tensor> audio;
  std::vector<torch::Tensor> image;
  for (const Split split : splits) {
    const auto batch = all(*dataset, split);
    const auto count = torch::bincount(batch.targets);
    EXPECT_TRUE((count == batch.size() / 10).all().item<bool>());
    audio.push_back(batch.inputs[0]);
    image.push_back(batch.inputs[1]);
  }
  EXPECT_EQ(different(torch::cat(audio)), 3000);
  EXPECT_EQ(different(torch::cat(image)), 12000);
}

}  // namespace

POISE_CONFORMANCE(small);
