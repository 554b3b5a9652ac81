// Wrong data: each kind is one sentence that names the file.
#include <fstream>

#include <poise/files.h>

#include "test_data.h"

namespace fs = std::filesystem;

namespace {

class WrongData : public AvDigitsTest {
 protected:
  WrongData() : mnist_(folder_ / "mnist"), fsdd_(folder_ / "fsdd" / "recordings") { write_root(folder_); }

  [[nodiscard]] std::string error() const {
    return error_of([&] { built(root_is(folder_)); });
  }
  void expect_error(const fs::path& file, const std::string& what) const {
    const auto said = error();
    EXPECT_TRUE(contains(said, file.string())) << said;
    EXPECT_TRUE(contains(said, what)) << said;
  }
  /// Keeps the first `bytes` of a file.
  static void cut(const fs::path& path, std::size_t bytes) {
    const auto content = poise::read_file(path);
    ASSERT_LT(bytes, content.size());
    std::ofstream(path, std::ios::binary) << content.substr(0, bytes);
  }
  static void garble(const fs::path& path, std::size_t begin) {
    auto content = poise::read_file(path);
    for (std::size_t i = begin; i < content.size(); ++i) content[i] = static_cast<char>(i * i * 31 + 7);
    std::ofstream(path, std::ios::binary) << content;
  }

  fs::path mnist_;
  fs::path fsdd_;
};

TEST_F(WrongData, NoDataAtRoot) {
  const auto nowhere = folder_ / "nowhere";
  for (const auto& said : {error_of([&] { built(root_is(nowhere)); }),
                           error_of([&] { (void)declared(root_is(nowhere))->files(); })}) {
    EXPECT_TRUE(contains(said, "no data at " + nowhere.string())) << said;
    EXPECT_TRUE(contains(said, "mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz")) << said;
    EXPECT_TRUE(contains(said, "fsdd/recordings/{digit}_{speaker}_{take}.wav")) << said;
  }
}

TEST_F(WrongData, AMissingImageFile) {
  fs::remove(mnist_ / "train-images-idx3-ubyte.gz");
  expect_error(mnist_ / "train-images-idx3-ubyte", "there is no");
  EXPECT_EQ(declared(root_is(folder_))->files().size(), 63U);
}

TEST_F(WrongData, AWavFileThatWasCutOff) {
  cut(fsdd_ / "3_ann_5.wav", 2000);
  expect_error(fsdd_ / "3_ann_5.wav", "is damaged: it ends before its header says");
}

TEST_F(WrongData, AWavFileCutOffInItsHeader) {
  cut(fsdd_ / "3_ann_5.wav", 20);
  expect_error(fsdd_ / "3_ann_5.wav", "is damaged");
}

TEST_F(WrongData, AnEmptySoundFile) {
  std::ofstream(fsdd_ / "3_ann_5.wav", std::ios::trunc).flush();
  expect_error(fsdd_ / "3_ann_5.wav", "is damaged");
}

TEST_F(WrongData, AWavFileOfNoSamples) {
  write_wav(fsdd_ / "3_ann_5.wav", {});
  expect_error(fsdd_ / "3_ann_5.wav", "it holds no sound");
}

TEST_F(WrongData, ASoundFileOfOtherBytes) {
  garble(fsdd_ / "3_ann_5.wav", 0);
  expect_error(fsdd_ / "3_ann_5.wav", "is damaged: libsndfile cannot read it");
}

TEST_F(WrongData, AFlacFileThatWasCutOff) {
  cut(fsdd_ / "7_ann_11.flac", fs::file_size(fsdd_ / "7_ann_11.flac") / 2);
  expect_error(fsdd_ / "7_ann_11.flac", "is damaged");
}

TEST_F(WrongData, AFlacFileOfOtherBytes) {
  garble(fsdd_ / "7_ann_11.flac", fs::file_size(fsdd_ / "7_ann_11.flac") / 2);
  expect_error(fsdd_ / "7_ann_11.flac", "is damaged");
}

TEST_F(WrongData, TheFirstOfSeveralDamagedFilesIsNamed) {
  for (const auto* name : {"0_ann_10.flac", "5_ann_10.flac", "9_ann_0.wav"}) garble(fsdd_ / name, 0);
  for (const int threads : {1, 2, 7}) {
    const auto said = error_of([&] { built(root_is(folder_), {0}, threads); });
    EXPECT_TRUE(contains(said, "0_ann_10.flac")) << said;
  }
}

TEST_F(WrongData, AnotherRateOrTwoChannels) {
  write_wav(fsdd_ / "2_ann_0.wav", tone(300, 1), 44100);
  expect_error(fsdd_ / "2_ann_0.wav", "44100 Hz");
  write_wav(fsdd_ / "2_ann_0.wav", tone(300, 1), 8000, 2);
  expect_error(fsdd_ / "2_ann_0.wav", "2 channel(s)");
}

TEST_F(WrongData, ASoundFileWithAnImpossibleName) {
  for (const auto* name : {"x_ann_0.wav", "3_ann.wav", "3_ann_.wav", "3_ann_-1.wav", "3_ann_1b.flac",
                           "33_ann_0.wav", "3__0.wav", "3_ann_99999999999.wav", "take.wav"}) {
    write_wav(fsdd_ / name, tone(300, 0.1));
    expect_error(fsdd_ / name, "is not named as {digit}_{speaker}_{take}");
    fs::remove(fsdd_ / name);
  }
}

TEST_F(WrongData, OtherFilesAreIgnored) {
  std::ofstream(fsdd_ / "README.md") << "about";
  std::ofstream(fsdd_ / "3_ann_0.txt") << "about";
  EXPECT_EQ(built(root_is(folder_))->size(poise::Split::train), 120);
}

TEST_F(WrongData, ARecordingThatIsThereTwice) {
  write_wav(fsdd_ / "4_ann_0.flac", tone(300, 0.1));
  expect_error(fsdd_ / "4_ann_0", "is there as .flac and as .wav");
}

TEST_F(WrongData, ASplitWithoutRecordings) {
  for (int digit = 0; digit < 10; ++digit) fs::remove(fsdd_ / (std::to_string(digit) + "_ann_5.wav"));
  expect_error(fsdd_, "has no recording with a take of 5 to 9, which the validation split is made of");
}

TEST_F(WrongData, ADigitWithoutRecordings) {
  fs::remove(fsdd_ / "6_ann_5.wav");
  expect_error(fsdd_, "has no recording of the digit 6 with a take of 5 to 9");
}

TEST_F(WrongData, ADigitWithoutImages) {
  const auto path = mnist_ / "t10k-labels-idx1-ubyte";
  write_idx(path, torch::arange(20).remainder(9));
  expect_error(mnist_, "no image of the digit 9 in the test split");
}

TEST_F(WrongData, NoImagesForValidation) {
  write_idx(mnist_ / "train-labels-idx1-ubyte", torch::arange(5));
  expect_error(mnist_, "no image of the digit 5 in the train split");
}

TEST_F(WrongData, AnIdxFileWithAnotherBeginning) {
  garble(mnist_ / "t10k-labels-idx1-ubyte", 0);
  expect_error(mnist_ / "t10k-labels-idx1-ubyte",
               "does not begin like an IDX file of bytes with 1 dimension");
  std::ofstream(mnist_ / "t10k-labels-idx1-ubyte", std::ios::trunc).flush();
  expect_error(mnist_ / "t10k-labels-idx1-ubyte", "does not begin like");
}

TEST_F(WrongData, AnIdxFileShorterOrLongerThanItsHeaderSays) {
  const auto path = mnist_ / "t10k-labels-idx1-ubyte";
  const auto good = poise::read_file(path);
  std::ofstream(path, std::ios::binary) << good.substr(0, good.size() - 1);
  expect_error(path, "it holds 19 values where its header states 20");
  std::ofstream(path, std::ios::binary) << good << "x";
  expect_error(path, "it holds 21 values where its header states 20");
  auto huge = good;
  huge[4] = '\x7f';
  std::ofstream(path, std::ios::binary) << huge;
  expect_error(path, "it holds 20 values");
}

TEST_F(WrongData, ACompressedFileThatWasCutOff) {
  const auto path = mnist_ / "train-images-idx3-ubyte.gz";
  cut(path, fs::file_size(path) - 20);
  expect_error(path, "it ends in the middle of the compressed data");
}

TEST_F(WrongData, ACompressedFileOfOtherBytes) {
  const auto path = mnist_ / "train-images-idx3-ubyte.gz";
  garble(path, 40);
  expect_error(path, "it cannot be decompressed");
}

TEST_F(WrongData, ImagesAndLabelsThatDoNotBelongTogether) {
  write_idx(mnist_ / "t10k-labels-idx1-ubyte", torch::arange(30).remainder(10));
  expect_error(mnist_ / "t10k-images-idx3-ubyte.gz",
               "holds 20 images, and the file of labels beside it 30 labels");
}

TEST_F(WrongData, ImagesOfAnotherSize) {
  write_idx(mnist_ / "t10k-images-idx3-ubyte.gz", torch::zeros({20, 32, 28}));
  expect_error(mnist_ / "t10k-images-idx3-ubyte.gz", "32x28");
}

TEST_F(WrongData, ALabelThatIsNoDigit) {
  write_idx(mnist_ / "t10k-labels-idx1-ubyte", torch::arange(20).remainder(11));
  expect_error(mnist_ / "t10k-labels-idx1-ubyte", "it holds the label 10");
}

TEST_F(WrongData, DamagedFilesLeaveNothingInTheCache) {
  garble(mnist_ / "train-images-idx3-ubyte.gz", 40);
  garble(fsdd_ / "3_ann_5.wav", 0);
  error_of([&] { built(root_is(folder_), {0}); });
  error_of([&] { built(root_is(folder_), {1}); });
  for (const auto& entry : fs::directory_iterator(poise::cache_directory() / "av_digits")) {
    EXPECT_EQ(entry.path().extension(), ".content");
  }
}

TEST_F(WrongData, OptionsOutOfRangeAndUnknown) {
  for (const auto* wrong :
       {"image_energy = 0", "image_energy = 1.5", "noise_snr = nan", "pairs_per_recording = 0",
        "spectrogram = 8", "pairing_seed = -1", "noise = 3", "root = 5"}) {
    const auto said = error_of([&] { declared(wrong); });
    EXPECT_TRUE(contains(said, std::string(wrong).substr(0, std::string(wrong).find(' ')))) << said;
    EXPECT_TRUE(contains(said, "inline.toml:1:")) << said;
  }
}

}  // namespace
