#include <memory>
#include <set>
#include <thread>
#include <tuple>

#include "poise/conformance.h"
#include "test_data.h"

namespace fs = std::filesystem;
using poise::Split;
using Shape = std::vector<std::int64_t>;

namespace {

constexpr Split splits[] = {Split::train, Split::validation, Split::test};

TEST_F(ArraysTest, TellsWhatTheTableAndTheHeadersSay) {
  const auto dataset = poise::testing::make<poise::Dataset>(options("labels = ['a', 'b', 'c']\n"));
  const auto modalities = dataset->modalities();
  ASSERT_EQ(modalities.size(), 2U);
  EXPECT_EQ(modalities[0].name, "audio");  // by name, not as they stand in the file
  EXPECT_EQ(modalities[0].shape, (Shape{4, 2}));
  EXPECT_TRUE(modalities[0].is_sequence);
  EXPECT_EQ(modalities[1].name, "image");
  EXPECT_EQ(modalities[1].shape, (Shape{2, 3}));
  EXPECT_FALSE(modalities[1].is_sequence);
  EXPECT_EQ(dataset->task().kind, poise::TaskKind::classification);
  EXPECT_EQ(dataset->task().outputs, 3);
  EXPECT_EQ(dataset->task().labels, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(ArraysTest, DeclaresItsOptionsWithoutAPipeline) {
  auto config = poise::Config::recording();
  const std::unique_ptr<poise::Dataset> dataset(static_cast<poise::Dataset*>(poise_plugin.create(&config)));
  std::set<std::string> is_required;
  std::set<std::string> is_optional;
  for (const auto& option : config.options()) {
    (option.is_required ? is_required : is_optional).insert(option.key + ": " + option.type);
  }
  EXPECT_EQ(is_required,
            (std::set<std::string>{"targets.train: path", "targets.test: path", "modality.NAME.train: path",
                                   "modality.NAME.test: path", "modality.NAME.lengths.train: path",
                                   "modality.NAME.lengths.test: path"}));
  EXPECT_EQ(is_optional, (std::set<std::string>{"task: text", "outputs: integer", "labels: texts",
                                                "targets.validation: path", "modality.NAME.validation: path",
                                                "modality.NAME.lengths.validation: path",
                                                "validation_share: number", "validation_seed: integer"}));
}

TEST_F(ArraysTest, DeliversTheFilesValues) {
  const auto dataset = built(options());
  const Shape sizes = {12, 3, 4};
  for (const Split split : splits) {
    const auto s = static_cast<std::int64_t>(split);
    const auto samples = sizes[static_cast<std::size_t>(split)];
    ASSERT_EQ(dataset->size(split), samples);
    const auto batch = all(*dataset, split);
    ASSERT_EQ(batch.inputs.size(), 2U);
    ASSERT_EQ(batch.lengths.size(), 2U);
    const auto ids = torch::arange(samples);
    EXPECT_TRUE(torch::equal(batch.ids, ids));
    EXPECT_TRUE(torch::equal(batch.targets, ids.remainder(3)));
    EXPECT_TRUE(torch::equal(batch.lengths[0], 1 + ids.remainder(4)));
    EXPECT_FALSE(batch.lengths[1].defined());
    EXPECT_EQ(batch.inputs[0].scalar_type(), torch::kFloat);
    EXPECT_EQ(batch.inputs[1].scalar_type(), torch::kFloat);
    const auto image = (50 * s + ids).to(torch::kFloat).view({samples, 1, 1}).expand({samples, 2, 3});
    EXPECT_TRUE(torch::equal(batch.inputs[1], image));
    for (std::int64_t i = 0; i < samples; ++i) {
      for (std::int64_t t = 0; t < 4; ++t) {
        // The files have ones after a sequence's end, and zeros are delivered.
        const auto expected =
            t > i % 4 ? torch::zeros({2}) : 1000.0 * s + 8.0 * i + 2.0 * t + torch::arange(2.0);
        EXPECT_TRUE(torch::equal(batch.inputs[0][i][t], expected)) << i << " " << t;
      }
    }
  }
}

TEST_F(ArraysTest, DeliversSomeSamplesInTheOrderAskedFor) {
  const auto dataset = built(options());
  const auto whole = all(*dataset, Split::train);
  const auto ids = torch::tensor({7, 0, 7, 11}, torch::kLong);
  const auto batch = dataset->fetch(Split::train, ids, 5);
  EXPECT_TRUE(torch::equal(batch.ids, ids));
  EXPECT_TRUE(torch::equal(batch.targets, whole.targets.index_select(0, ids)));
  EXPECT_TRUE(torch::equal(batch.lengths[0], whole.lengths[0].index_select(0, ids)));
  for (std::size_t m = 0; m < 2; ++m) {
    EXPECT_TRUE(torch::equal(batch.inputs[m], whole.inputs[m].index_select(0, ids)));
  }
}

TEST_F(ArraysTest, DeliversTheModalitiesAskedForAndReadsNoOther) {
  const auto both = all(*built(options()), Split::test);
  const auto swapped = all(*built(options(), {1, 0}), Split::test);
  EXPECT_TRUE(torch::equal(swapped.inputs[0], both.inputs[1]));
  EXPECT_TRUE(torch::equal(swapped.inputs[1], both.inputs[0]));
  EXPECT_TRUE(torch::equal(swapped.lengths[1], both.lengths[0]));
  fs::remove(file("audio", "train"));
  const auto alone = all(*built(options(), {1}), Split::test);
  ASSERT_EQ(alone.inputs.size(), 1U);
  EXPECT_TRUE(torch::equal(alone.inputs[0], both.inputs[1]));
}

TEST_F(ArraysTest, CarvesValidationOutOfTrain) {
  const auto top = std::string("outputs = 3\nvalidation_share = 0.25\n");
  const auto dataset = built(options(top, false));
  EXPECT_EQ(dataset->size(Split::train), 9);
  EXPECT_EQ(dataset->size(Split::validation), 3);
  EXPECT_EQ(dataset->size(Split::test), 4);
  const auto train = all(*dataset, Split::train);
  const auto validation = all(*dataset, Split::validation);
  // The image of row i is i everywhere: together the splits have every row once, each in the file's order.
  const auto train_rows = train.inputs[1].flatten(1).select(1, 0).to(torch::kLong);
  const auto validation_rows = validation.inputs[1].flatten(1).select(1, 0).to(torch::kLong);
  const auto rows = torch::cat({train_rows, validation_rows});
  EXPECT_TRUE(torch::equal(std::get<0>(rows.sort()), torch::arange(12)));
  EXPECT_TRUE((train_rows.diff() > 0).all().item<bool>());
  EXPECT_TRUE((validation_rows.diff() > 0).all().item<bool>());
  // Targets and lengths are those of the same rows.
  EXPECT_TRUE(torch::equal(train.targets, train_rows.remainder(3)));
  EXPECT_TRUE(torch::equal(validation.targets, validation_rows.remainder(3)));
  EXPECT_TRUE(torch::equal(validation.lengths[0], 1 + validation_rows.remainder(4)));
  EXPECT_TRUE(torch::equal(validation.ids, torch::arange(3)));
}

TEST_F(ArraysTest, TheSeedDecidesWhatIsCarvedOut) {
  const auto rows = [&](const std::string& more) {
    return all(*built(options("outputs = 3\nvalidation_share = 0.5\n" + more, false)), Split::validation)
        .inputs[1];
  };
  torch::manual_seed(5);
  const auto zero = rows("");
  torch::manual_seed(6);
  EXPECT_TRUE(torch::equal(zero, rows("validation_seed = 0\n")));
  EXPECT_FALSE(torch::equal(zero, rows("validation_seed = 1\n")));
}

TEST_F(ArraysTest, CarvingNeverTakesAllOrNothing) {
  const auto few = built(options("outputs = 3\nvalidation_share = 0.001\n", false));
  EXPECT_EQ(few->size(Split::validation), 1);
  EXPECT_EQ(few->size(Split::train), 11);
  const auto usual = built(options("outputs = 3\n", false));
  EXPECT_EQ(usual->size(Split::validation), 1);  // a tenth of 12
}

TEST_F(ArraysTest, RegressionTargetsAreStandardisedByTheTrainingSplitAlone) {
  const auto numbers = [](std::int64_t samples, double shift) {
    const auto x = torch::arange(samples, torch::kDouble);
    return torch::stack({x * x + shift, 5 - 3 * x}, 1);
  };
  write("targets", {numbers(12, 0), numbers(3, 100), numbers(4, 200)});
  const auto top = std::string("task = 'regression'\noutputs = 2\n");
  const auto given = built(options(top));
  const auto train = numbers(12, 0);
  const auto mean = train.sum(0) / 12;
  const auto deviation = ((train - mean).square().sum(0) / 12).sqrt();
  const auto test = all(*given, Split::test).targets;
  EXPECT_EQ(test.scalar_type(), torch::kFloat);
  EXPECT_TRUE(torch::allclose(test.to(torch::kDouble), (numbers(4, 200) - mean) / deviation, 1e-6));
  EXPECT_TRUE(torch::allclose(all(*given, Split::train).targets.to(torch::kDouble),
                              (train - mean) / deviation, 1e-6));
  // What is carved out does not count.
  const auto carved = all(*built(options(top + "validation_share = 0.5\n", false)), Split::train).targets;
  EXPECT_EQ(carved.size(0), 6);
  EXPECT_LT(carved.mean(0).abs().max().item<double>(), 1e-6);
  EXPECT_LT((carved.square().mean(0) - 1).abs().max().item<double>(), 1e-6);
}

TEST_F(ArraysTest, AnOutputAloneMayBeAColumn) {
  write("targets", {torch::arange(12), torch::arange(3), torch::arange(4)});
  const auto dataset = built(options("task = 'regression'\noutputs = 1\n"));
  EXPECT_EQ(all(*dataset, Split::train).targets.sizes(), (Shape{12, 1}));
}

TEST_F(ArraysTest, MultiLabelTargetsAreZerosAndOnes) {
  const auto labels = [](std::int64_t samples) {
    return torch::arange(samples * 2).view({-1, 2}).remainder(3) == 0;
  };
  write("targets", {labels(12), labels(3).to(torch::kInt), labels(4).to(torch::kHalf)});
  const auto dataset = built(options("task = 'multi_label'\nlabels = ['loud', 'near']\n"));
  EXPECT_EQ(dataset->task().kind, poise::TaskKind::multi_label);
  EXPECT_EQ(dataset->task().outputs, 2);
  const Shape sizes = {12, 3, 4};
  for (const Split split : splits) {
    const auto expected = labels(sizes[static_cast<std::size_t>(split)]).to(torch::kFloat);
    EXPECT_TRUE(torch::equal(all(*dataset, split).targets, expected));
  }
}

TEST_F(ArraysTest, ListsItsFiles) {
  const auto files = poise::testing::make<poise::Dataset>(options())->files();
  std::set<fs::path> expected;
  for (const auto* const name : {"audio", "image", "lengths", "targets"}) {
    for (const auto* const split : {"train", "validation", "test"}) expected.insert(file(name, split));
  }
  EXPECT_EQ(files.size(), 12U);
  EXPECT_EQ(std::set<fs::path>(files.begin(), files.end()), expected);
  EXPECT_EQ(poise::testing::make<poise::Dataset>(options("outputs = 3\n", false))->files().size(), 8U);
}

TEST_F(ArraysTest, ParallelFetchEqualsSerialFetch) {
  const auto dataset = built(options());
  std::vector<poise::Batch> batches(8);
  {
    std::vector<std::jthread> running;
    running.reserve(batches.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      running.emplace_back([&, i] {
        for (int round = 0; round < 50; ++round) {
          batches[i] = dataset->fetch(Split::train, torch::arange(static_cast<std::int64_t>(i), 12, 2), i);
        }
      });
    }
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto serial = dataset->fetch(Split::train, torch::arange(static_cast<std::int64_t>(i), 12, 2), 0);
    EXPECT_TRUE(torch::equal(serial.inputs[0], batches[i].inputs[0]));
    EXPECT_TRUE(torch::equal(serial.inputs[1], batches[i].inputs[1]));
    EXPECT_TRUE(torch::equal(serial.targets, batches[i].targets));
  }
}

TEST_F(ArraysTest, Conforms) {
  std::string lines = "outputs = 3\n";
  for (const std::string split : {"train", "validation", "test"}) {
    for (const std::string name : {"audio", "image"}) {
      lines += "modality." + name + "." + split + " = '" + file(name, split).string() + "'\n";
    }
    lines += "modality.audio.lengths." + split + " = '" + file("lengths", split).string() + "'\n";
    lines += "targets." + split + " = '" + file("targets", split).string() + "'\n";
  }
  for (const auto& check : poise::testing::checks_of("dataset")) {
    const auto finding = poise::testing::run(check, {.plugin = &poise_plugin, .options = lines, .seed = 1});
    EXPECT_TRUE(finding.outcome == poise::testing::Outcome::passed ||
                finding.outcome == poise::testing::Outcome::skipped)
        << check.name << ": " << finding.sentence;
  }
}

}  // namespace
