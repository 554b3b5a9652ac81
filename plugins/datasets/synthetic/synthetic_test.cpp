#include <thread>

#include <ATen/CPUGeneratorImpl.h>

#include "poise/conformance_test.h"
#include "test_data.h"

namespace {

using poise::Split;
using poise::testing::expect_refused;
using torch::Tensor;
using Shape = std::vector<std::int64_t>;

constexpr Split splits[] = {Split::train, Split::validation, Split::test};

TEST(Synthetic, TellsShapesAndTask) {
  const auto vectors = declared("");
  ASSERT_EQ(vectors->modalities().size(), 2U);
  EXPECT_EQ(vectors->modalities()[0].name, "m0");
  EXPECT_EQ(vectors->modalities()[1].name, "m1");
  EXPECT_EQ(vectors->modalities()[1].shape, Shape{32});
  EXPECT_FALSE(vectors->modalities()[1].is_sequence);
  EXPECT_EQ(vectors->task().kind, poise::TaskKind::classification);
  EXPECT_EQ(vectors->task().outputs, 8);
  EXPECT_TRUE(vectors->files().empty());

  const auto sequences = declared("count = 6\nform = 'sequence'\nsteps = 7\ndimensions = 9");
  ASSERT_EQ(sequences->modalities().size(), 6U);
  EXPECT_EQ(sequences->modalities()[5].name, "m5");
  EXPECT_EQ(sequences->modalities()[5].shape, (Shape{7, 9}));
  EXPECT_TRUE(sequences->modalities()[5].is_sequence);
  EXPECT_EQ(sequences->task().outputs, 128);

  const auto images = declared("form = 'image'\nside = 20\ntask = 'regression'\ncombined = 2");
  EXPECT_EQ(images->modalities()[0].shape, (Shape{1, 20, 20}));
  EXPECT_EQ(images->task().kind, poise::TaskKind::regression);
  EXPECT_EQ(images->task().outputs, 5);
  EXPECT_EQ(images->task().labels,
            (std::vector<std::string>{"m0 1", "m1 1", "all 1", "combined 1", "combined 2"}));
}

TEST(Synthetic, GivesTheShapesItTells) {
  for (const char* const form : {"vector", "sequence", "image"}) {
    for (const char* const task : {"classification", "multi_label", "regression"}) {
      const auto options = std::string("form = '") + form + "'\ntask = '" + task + "'\n";
      const auto dataset = built(options + "train = 20\nvalidation = 6\ntest = 11");
      EXPECT_EQ(dataset->size(Split::train), 20);
      EXPECT_EQ(dataset->size(Split::validation), 6);
      EXPECT_EQ(dataset->size(Split::test), 11);
      const auto ids = torch::tensor({5, 0, 5, 3}, torch::kLong);
      const auto batch = dataset->fetch(Split::validation, ids, 1);
      EXPECT_TRUE(torch::equal(batch.ids, ids));
      ASSERT_EQ(batch.inputs.size(), 2U);
      ASSERT_EQ(batch.lengths.size(), 2U);
      for (std::size_t m = 0; m < 2; ++m) {
        auto shape = dataset->modalities()[m].shape;
        shape.insert(shape.begin(), 4);
        EXPECT_EQ(batch.inputs[m].sizes(), shape) << options;
        EXPECT_EQ(batch.inputs[m].scalar_type(), torch::kFloat);
        EXPECT_TRUE(torch::equal(batch.inputs[m][0], batch.inputs[m][2]));
        EXPECT_FALSE(torch::equal(batch.inputs[m][0], batch.inputs[m][1]));
        EXPECT_EQ(batch.lengths[m].defined(), dataset->modalities()[m].is_sequence);
      }
      EXPECT_FALSE(torch::equal(batch.inputs[0], batch.inputs[1]));
      if (dataset->task().kind == poise::TaskKind::classification) {
        EXPECT_EQ(batch.targets.sizes(), Shape{4});
        EXPECT_EQ(batch.targets.scalar_type(), torch::kLong);
      } else {
        EXPECT_EQ(batch.targets.sizes(), (Shape{4, 3}));
        EXPECT_EQ(batch.targets.scalar_type(), torch::kFloat);
      }
    }
  }
}

TEST(Synthetic, DeliversTheModalitiesAskedForInTheirOrder) {
  const std::string options = "count = 3\nform = 'sequence'\ntrain = 10";
  const auto three = all(*built(options, {0, 1, 2}), Split::train);
  const auto swapped = all(*built(options, {2, 0}), Split::train);
  ASSERT_EQ(swapped.inputs.size(), 2U);
  EXPECT_TRUE(torch::equal(swapped.inputs[0], three.inputs[2]));
  EXPECT_TRUE(torch::equal(swapped.lengths[0], three.lengths[2]));
  EXPECT_TRUE(torch::equal(swapped.inputs[1], three.inputs[0]));
  EXPECT_TRUE(torch::equal(swapped.targets, three.targets));
}

TEST(Synthetic, TheSeedDecidesEverySampleAndTheDefaultGeneratorIsLeftAlone) {
  for (const char* const form : {"vector", "sequence", "image"}) {
    const auto options = std::string("form = '") + form + "'\nlabel_noise = 0.1\ntrain = 50\n";
    const auto before = at::detail::getDefaultCPUGenerator().get_state();
    const auto one = all(*built(options + "seed = 1"), Split::train);
    EXPECT_TRUE(torch::equal(before, at::detail::getDefaultCPUGenerator().get_state()));
    torch::manual_seed(77);
    const auto again = all(*built(options + "seed = 1"), Split::train);
    const auto two = all(*built(options + "seed = 2"), Split::train);
    EXPECT_TRUE(torch::equal(one.targets, again.targets));
    EXPECT_FALSE(torch::equal(one.targets, two.targets));
    for (std::size_t m = 0; m < 2; ++m) {
      EXPECT_TRUE(torch::equal(one.inputs[m], again.inputs[m]));
      EXPECT_FALSE(torch::equal(one.inputs[m], two.inputs[m]));
    }
  }
}

TEST(Synthetic, ASampleDoesNotDependOnHowManyThereAre) {
  for (const char* const form : {"vector", "sequence", "image"}) {
    for (const char* const task : {"classification", "multi_label"}) {
      const auto options = std::string("form = '") + form + "'\ntask = '" + task + "'\nlabel_noise = 0.3\n";
      const auto few = all(*built(options + "test = 37"), Split::test);
      const auto many = all(*built(options + "test = 100\ntrain = 10"), Split::test);
      EXPECT_TRUE(torch::equal(few.targets, many.targets.slice(0, 0, 37)));
      for (std::size_t m = 0; m < 2; ++m) {
        EXPECT_TRUE(torch::equal(few.inputs[m], many.inputs[m].slice(0, 0, 37))) << options;
      }
    }
  }
}

TEST(Synthetic, SplitsAndModalitiesShareNoNoise) {
  const auto dataset = built("train = 300\nvalidation = 300\ntest = 300\ndimensions = 8");
  std::vector<Tensor> noise;
  for (const Split split : splits) {
    for (const auto& input : all(*dataset, split).inputs) noise.push_back(input.flatten());
  }
  const auto rows = torch::stack(noise);
  const auto correlation = rows.mm(rows.t()) / rows.square().sum(1, /*keepdim=*/true);
  const auto others = correlation - torch::diag(correlation.diag());
  // 2400 independent numbers in a row.
  EXPECT_LT(others.abs().max().item<double>(), 0.15);
}

TEST(Synthetic, ParallelFetchEqualsSerialFetch) {
  const auto dataset = built("form = 'sequence'\ntrain = 500");
  std::vector<poise::Batch> batches(4);
  {
    std::vector<std::jthread> running;
    running.reserve(batches.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      running.emplace_back([&, i] {
        batches[i] = dataset->fetch(Split::train, torch::arange(static_cast<std::int64_t>(i), 500, 3), i);
      });
    }
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto serial = dataset->fetch(Split::train, torch::arange(static_cast<std::int64_t>(i), 500, 3), 9);
    EXPECT_TRUE(torch::equal(serial.inputs[1], batches[i].inputs[1]));
    EXPECT_TRUE(torch::equal(serial.lengths[1], batches[i].lengths[1]));
    EXPECT_TRUE(torch::equal(serial.targets, batches[i].targets));
  }
}

TEST(Synthetic, RefusesWhatDoesNotFit) {
  const auto refused = [](const std::string& options, const std::string& sentence) {
    expect_refused<poise::Dataset>(options, sentence);
  };
  refused("snr = [0]", "inline.toml:1:7: snr has 1 entries, but count is 2: give one entry per modality.");
  refused("count = 3\nunique = [1, 1]", "inline.toml:2:10: unique has 2 entries, but count is 3");
  refused("unique = [4, 4]\nredundant = 1", "make 9 bits in all, but there must be 1 to 8");
  refused("unique = [0, 0]\nredundant = 0", "make 0 bits in all");
  refused("dimensions = 1", "m0 shows 2 bits, each in a direction of its own, but dimensions is 1.");
  refused("unique = [0, 3]\ncombined = 1\ndimensions = 4", "m1 shows 5 bits");
  refused("side = 8", "side has no effect where form is \"vector\": leave it out.");
  refused("form = 'image'\ndimensions = 8", "dimensions has no effect where form is \"image\"");
  refused("form = 'sequence'\nside = 8", "side has no effect where form is \"sequence\"");
  refused("steps = 8", "steps has no effect where form is \"vector\"");
  refused("form = 'sequence'\nsteps = 3\nmin_steps = 4", "min_steps is 4, but steps is 3");
  refused("count = 1", "count is 1, but must be from 2 to 6");
  refused("count = 7", "count is 7");
  refused("label_noise = 0.6", "label_noise is 0.6, but must be from 0 to 0.5");
  refused("snr = [0, 50]", "snr is 50, but must be from -40 to 40");
  refused("unique = [1, -1]", "unique is -1");
  refused("form = 'graph'", "form is \"graph\", but must be one of");
  refused("train = 1", "train is 1, but must be from 2");
}

}  // namespace

POISE_CONFORMANCE("train = 300\nvalidation = 100\ntest = 100");
