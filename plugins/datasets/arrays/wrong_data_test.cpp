// Wrong tables and wrong data: each kind is one sentence that names the key, or the file and the row.
#include <cmath>
#include <limits>

#include "test_data.h"

namespace fs = std::filesystem;
using poise::Split;

namespace {

class WrongData : public ArraysTest {
 protected:
  void expect_refused(const std::string& options, const fs::path& named, const std::string& sentence) const {
    const auto said = error_of([&] { built(options); });
    EXPECT_EQ(said, named.string() + " " + sentence);
  }
  void expect_refused(const fs::path& named, const std::string& sentence) const {
    expect_refused(options(), named, sentence);
  }
  /// Writes one file of the three splits and gives its path.
  [[nodiscard]] fs::path replaced(const std::string& name, const std::string& split,
                                  const torch::Tensor& values) const {
    write_npy(file(name, split), values);
    return file(name, split);
  }
};

void refused(const std::string& options, const std::string& sentence) {
  poise::testing::expect_refused<poise::Dataset>(options, sentence);
}

TEST_F(WrongData, ATableThatDoesNotSayHowManyOutputs) {
  refused(options(""), "outputs (how many classes, labels or numbers there are) or labels must be given.");
  refused(options("outputs = 4\nlabels = ['a', 'b']\n"),
          "inline.toml:2:10: labels has 2 names, but outputs is 4.");
  refused(options("outputs = 1\n"), "inline.toml:1:11: a classification needs at least 2 classes");
  refused(options("outputs = 3\ntask = 'ranking'\n"), "task is \"ranking\", but must be one of");
}

TEST_F(WrongData, ATableWithoutModalitiesOrFiles) {
  refused("outputs = 3\n" + table("targets", "targets"), "there is no modality");
  refused("outputs = 3\n" + table("modality.audio", "audio"), "targets.train is required");
  refused("outputs = 3\n[targets]\ntrain = 'x.npy'\n" + table("modality.audio", "audio"),
          "inline.toml:2:1: targets.test is required");
  refused("outputs = 3\n" + table("targets", "targets") + "[modality.audio]\ntest = 'x.npy'\n",
          "modality.audio.train is required");
  refused("outputs = 3\n" + table("targets", "targets") + "[modality]\naudio = 'x.npy'\n",
          "modality.audio must be a table");
}

TEST_F(WrongData, KeysThatNobodyReads) {
  refused(options() + "[modality.audio.mask]\n", "unknown key modality.audio.mask");
  refused(options() +
              "[modality.video]\ntrain = 'a.npy'\nvalidation = 'b.npy'\ntest = 'c.npy'\nlength = 'd.npy'\n",
          "unknown key modality.video.length; did you mean 'lengths'?");
  refused(options("outputs = 3\nvalidation_part = 0.1\n"), "unknown key validation_part");
}

TEST_F(WrongData, AModalityWithANameThatIsNoKey) {
  refused(options() + table("modality.\"left ear\"", "image"),
          "the modality's name 'left ear' must be of letters");
  refused(options() + table("modality.\"a.b\"", "image"), "the modality's name 'a.b'");
  refused(options() + table("modality.\"\"", "image"), "the modality's name ''");
}

TEST_F(WrongData, ValidationFilesForSomeOnly) {
  const std::string top = "outputs = 3\n";
  refused(top + table("targets", "targets") + table("modality.image", "image", false),
          "[targets] names a file for validation, but [modality.image] does not");
  refused(top + table("targets", "targets", false) + table("modality.image", "image"),
          "[modality.image] names a file for validation, but [targets] does not");
  refused(top + table("targets", "targets") + table("modality.audio", "audio") +
              table("modality.audio.lengths", "lengths", false),
          "[targets] names a file for validation, but [modality.audio.lengths] does not");
}

TEST_F(WrongData, OptionsOfTheCarvingThatHaveNoEffect) {
  refused(options("outputs = 3\nvalidation_share = 0.2\n"),
          "inline.toml:2:20: validation_share has no effect where validation has files: leave it out.");
  refused(options("outputs = 3\nvalidation_seed = 1\n"), "validation_seed has no effect");
  refused(options("outputs = 3\nvalidation_share = 0.95\n", false), "validation_share is 0.95, but must be");
}

TEST_F(WrongData, AFileForTwoSplits) {
  refused("outputs = 3\n[targets]\ntrain = '/data/x.npy'\ntest = '/data/x.npy'\n" +
              table("modality.image", "image"),
          "inline.toml:4:8: test and train are the same file, but splits must share no sample.");
}

TEST_F(WrongData, AFileThatIsNotThere) {
  fs::remove(file("audio", "train"));
  fs::remove(file("targets", "test"));
  const auto dataset = poise::testing::make<poise::Dataset>(options());
  EXPECT_EQ(error_of([&] { (void)dataset->modalities(); }),
            file("audio", "train").string() + " cannot be read: No such file or directory.");
  EXPECT_EQ(error_of([&] { (void)dataset->files(); }),
            file("audio", "train").string() + " is not there, and the pipeline names it.");
  expect_refused(file("audio", "train"), "cannot be read: No such file or directory.");
}

TEST_F(WrongData, InputsWithoutADimensionOrWithoutRows) {
  auto path = replaced("image", "train", torch::zeros({12}));
  expect_refused(
      path,
      "holds float32 [12], but inputs are [N, ...] with one row per sample, in which a single number is "
      "[N, 1].");
  path = replaced("image", "train", torch::zeros({12, 0}));
  const auto dataset = poise::testing::make<poise::Dataset>(options());
  EXPECT_TRUE(
      error_of([&] { (void)dataset->modalities(); }).starts_with(path.string() + " holds float32 [12, 0]"));
  (void)replaced("image", "train", torch::zeros({12, 2, 3}));
  path = replaced("audio", "test", torch::zeros({0, 4, 2}));
  expect_refused(
      path,
      "holds float32 [0, 4, 2], but inputs are [N, steps, ...] with one row per sample, in which a single "
      "number is [N, 1].");
}

TEST_F(WrongData, FilesOfOneSplitWithOtherNumbersOfRows) {
  expect_refused(
      replaced("image", "validation", torch::zeros({5, 2, 3})),
      "holds 5 samples, but " + file("targets", "validation").string() +
          " holds 3: the files of the validation split have one row per sample, in the same order.");
  (void)replaced("image", "validation", torch::zeros({3, 2, 3}));
  expect_refused(replaced("lengths", "train", torch::ones({11}, torch::kLong)),
                 "holds 11 samples, but " + file("targets", "train").string() +
                     " holds 12: the files of the train split have one row per sample, in the same order.");
}

TEST_F(WrongData, AModalityOfTwoShapes) {
  expect_refused(replaced("image", "test", torch::zeros({4, 3, 2})),
                 "holds samples of shape [3, 2], but " + file("image", "train").string() +
                     " holds samples of shape [2, 3]: a modality has one shape in all splits.");
}

TEST_F(WrongData, LengthsThatCannotBe) {
  expect_refused(replaced("lengths", "test", torch::tensor({1, 4, 5, 1}, torch::kLong)),
                 "holds the length 5 in row 2 (counted from 0), but the sequences have 1 to 4 steps.");
  expect_refused(replaced("lengths", "test", torch::tensor({1, 4, 4, 0}, torch::kLong)),
                 "holds the length 0 in row 3 (counted from 0), but the sequences have 1 to 4 steps.");
  expect_refused(replaced("lengths", "test", torch::ones({4})),
                 "holds float32 [4], but lengths are one whole number per sample: [N].");
}

TEST_F(WrongData, ClassesThatCannotBe) {
  expect_refused(replaced("targets", "test", torch::tensor({0, 2, 3, 9}, torch::kInt)),
                 "holds the class 3 in row 2 (counted from 0), but there are 3 classes, from 0 to 2.");
  expect_refused(replaced("targets", "test", torch::tensor({0, -1, 1, 1}, torch::kChar)),
                 "holds the class -1 in row 1 (counted from 0), but there are 3 classes, from 0 to 2.");
  expect_refused(
      replaced("targets", "test", torch::zeros({4})),
      "holds float32 [4], but the targets of a classification are one whole number per sample: [N].");
  expect_refused(
      replaced("targets", "test", torch::zeros({4, 1}, torch::kLong)),
      "holds int64 [4, 1], but the targets of a classification are one whole number per sample: [N].");
  expect_refused(replaced("targets", "test", torch::zeros({0}, torch::kLong)), "holds no sample.");
}

TEST_F(WrongData, LabelsThatCannotBe) {
  const auto text = options("task = 'multi_label'\noutputs = 2\n");
  const auto zeros = [](std::int64_t samples) { return torch::zeros({samples, 2}); };
  write("targets", {zeros(12), zeros(3), zeros(4)});
  EXPECT_NO_THROW(built(text));
  auto wrong = zeros(3);
  wrong[1][1] = 0.5;
  expect_refused(text, replaced("targets", "validation", wrong),
                 "holds a value other than 0 and 1 in row 1 (counted from 0), but labels are 0 or 1.");
  wrong[1][1] = std::nan("");
  expect_refused(text, replaced("targets", "validation", wrong),
                 "holds a value other than 0 and 1 in row 1 (counted from 0), but labels are 0 or 1.");
  expect_refused(text, replaced("targets", "validation", torch::zeros({3, 4})),
                 "holds float32 [3, 4], but there are 2 outputs, so that targets are [N, 2].");
}

TEST_F(WrongData, NumbersThatCannotBe) {
  const auto text = options("task = 'regression'\noutputs = 2\n");
  const auto numbers = [](std::int64_t samples) { return torch::arange(samples * 2.0).view({-1, 2}); };
  write("targets", {numbers(12), numbers(3), numbers(4)});
  EXPECT_NO_THROW(built(text));
  auto wrong = numbers(12);
  wrong[7][0] = std::numeric_limits<double>::infinity();
  expect_refused(text, replaced("targets", "train", wrong),
                 "holds a value that is not finite in row 7 (counted from 0).");
  wrong = numbers(12);
  wrong.select(1, 1).fill_(3);
  expect_refused(
      text, replaced("targets", "train", wrong),
      "has the same value in column 1 of every row of the training split: there is nothing to learn.");
}

TEST_F(WrongData, InputsThatAreNotFinite) {
  auto image = torch::zeros({4, 2, 3}, torch::kDouble);
  image[2][1][0] = std::nan("");
  expect_refused(replaced("image", "test", image),
                 "holds a value that is no finite float32 in row 2 (counted from 0).");
  image[2][1][0] = 1e300;  // finite, but not when it is delivered
  expect_refused(replaced("image", "test", image),
                 "holds a value that is no finite float32 in row 2 (counted from 0).");
}

TEST_F(WrongData, ValuesBehindASequencesEndDoNotMatter) {
  auto audio = torch::zeros({4, 4, 2});
  audio[1][2][0] = std::nan("");  // its length is 2
  (void)replaced("audio", "test", audio);
  EXPECT_NO_THROW(built(options()));
  audio[1][1][0] = std::nan("");
  expect_refused(replaced("audio", "test", audio),
                 "holds a value that is no finite float32 in row 1 (counted from 0).");
}

TEST_F(WrongData, ALargeFileIsCheckedToItsLastRow) {
  // Three parts of 4 Mi values.
  auto image = torch::zeros({12, 1024, 1024}, torch::kHalf);
  image[11][1023][1023] = std::nan("");
  write("image",
        {image, torch::zeros({3, 1024, 1024}, torch::kHalf), torch::zeros({4, 1024, 1024}, torch::kHalf)});
  expect_refused(file("image", "train"),
                 "holds a value that is no finite float32 in row 11 (counted from 0).");
}

TEST_F(WrongData, OneSampleCannotBeCarved) {
  write("image", {torch::zeros({1, 2, 3}), torch::zeros({4, 2, 3})});
  write("targets", {torch::zeros({1}, torch::kLong), torch::zeros({4}, torch::kLong)});
  const auto text =
      "outputs = 3\n" + table("targets", "targets", false) + table("modality.image", "image", false);
  const auto said = error_of([&] { built(text, {0}); });
  EXPECT_EQ(said, file("targets", "train").string() +
                      " holds 1 sample, but validation is carved out of train: give it a file.");
}

}  // namespace
