#include "training/batches.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "poise/error.h"

namespace poise {
namespace {

using Bounds = std::vector<std::pair<std::int64_t, std::int64_t>>;

TEST(BatchBounds, ALastBatchOfOneJoinsTheOneBefore) {
  EXPECT_EQ(batch_bounds(6, 3), (Bounds{{0, 3}, {3, 6}}));
  EXPECT_EQ(batch_bounds(8, 3), (Bounds{{0, 3}, {3, 6}, {6, 8}}));
  EXPECT_EQ(batch_bounds(7, 3), (Bounds{{0, 3}, {3, 7}}));
  EXPECT_EQ(batch_bounds(1, 3), (Bounds{{0, 1}})) << "there is none before";
}

/// Sample i is the number i; sample 13 cannot be read when `broken`.
class Numbers : public Dataset {
 public:
  explicit Numbers(bool broken) : broken_(broken) {}
  std::vector<Modality> modalities() const override { return {{.name = "n", .shape = {1}}}; }
  Task task() const override { return {.outputs = 2, .labels = {"even", "odd"}}; }
  std::vector<std::filesystem::path> files() const override { return {}; }
  void build(const DatasetSpec& /*spec*/) override {}
  std::int64_t size(Split /*split*/) const override { return 40; }
  Batch fetch(Split /*split*/, const torch::Tensor& ids, std::uint64_t seed) const override {
    if (broken_ && ids.eq(13).any().item<bool>()) throw Error("sample 13 is torn.");
    Batch batch;
    batch.ids = ids;
    batch.inputs = {ids.unsqueeze(1).to(at::kFloat) + static_cast<double>(seed)};
    batch.lengths.resize(1);
    batch.targets = ids.remainder(2);
    return batch;
  }

 private:
  bool broken_;
};

std::vector<std::int64_t> visited(const Loaded<Dataset>& dataset, std::int64_t threads, std::int64_t first) {
  BatchStream stream({.dataset = &dataset,
                      .split = Split::train,
                      .ids = at::arange(39, -1, -1, at::kLong),
                      .seed = 0,
                      .batch_size = 7,
                      .threads = threads,
                      .first_batch = first});
  std::vector<std::int64_t> ids;
  while (const auto batch = stream.next()) {
    for (std::int64_t i = 0; i < batch->size(); ++i) ids.push_back(batch->ids[i].item<std::int64_t>());
  }
  return ids;
}

TEST(BatchStream, GivesTheSameOrderWithAnyNumberOfThreads) {
  const Loaded<Dataset> dataset{std::make_shared<Numbers>(false), {"numbers", "1", "test"}};
  std::vector<std::int64_t> expected;
  for (std::int64_t i = 39; i >= 0; --i) expected.push_back(i);
  for (const std::int64_t threads : {1, 2, 5}) EXPECT_EQ(visited(dataset, threads, 0), expected);
  // Begins in the middle, as after a resume.
  EXPECT_EQ(visited(dataset, 3, 2), std::vector<std::int64_t>(expected.begin() + 14, expected.end()));
}

TEST(BatchStream, LeavesTheNumberOfTrainingThreadsAlone) {
  at::set_num_threads(2);
  const Loaded<Dataset> dataset{std::make_shared<Numbers>(false), {"numbers", "1", "test"}};
  visited(dataset, 3, 0);
  EXPECT_EQ(at::get_num_threads(), 2);
  std::thread([] { EXPECT_EQ(at::get_num_threads(), 2); }).join();
}

TEST(BatchStream, ThrowsWhatTheDatasetThrewInItsTurn) {
  const Loaded<Dataset> dataset{std::make_shared<Numbers>(true), {"numbers", "1", "some/numbers.so"}};
  BatchStream stream({.dataset = &dataset,
                      .split = Split::train,
                      .ids = at::arange(40, at::kLong),
                      .seed = 0,
                      .batch_size = 10,
                      .threads = 3});
  EXPECT_TRUE(stream.next().has_value());
  try {
    stream.next();
    FAIL() << "batch 2 holds sample 13";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "numbers 1 (some/numbers.so): sample 13 is torn.");
  }
}

}  // namespace
}  // namespace poise
