#include "analysis/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "analysis/test_runs.h"
#include "poise/error.h"

namespace poise {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::result;
using testing::write_run;

class ResultsTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  const std::filesystem::path& path_ = folder_.path();
};

TEST_F(ResultsTest, ReadsWhatARunWrote) {
  write_run(path_ / "agm_3", result("agm alpha=1.5", 3, 0.97, {{"audio", 0.5}, {"image", 0.9}}));

  const Results results = read_results(path_);

  EXPECT_THAT(results.notes, IsEmpty());
  ASSERT_EQ(results.runs.size(), 1U);
  const RunResult& run = results.runs[0];
  EXPECT_EQ(run.folder, "agm_3");
  EXPECT_EQ(run.label, "agm alpha=1.5 seed=3");
  EXPECT_EQ(run.group, "agm alpha=1.5");
  EXPECT_EQ(run.modulation, "agm");
  EXPECT_EQ(run.fusion, "concat");
  EXPECT_EQ(run.alone, "");
  EXPECT_EQ(run.seed, 3);
  EXPECT_EQ(run.title, "Spoken and written digits");
  EXPECT_THAT(run.modalities, ElementsAre("audio", "image"));
  EXPECT_EQ(run.hash, sha256("agm alpha=1.5 seed=3"));
  EXPECT_EQ(run.test.score, 0.97);
  EXPECT_EQ(run.test.modality_score.at("audio"), 0.5);
  EXPECT_EQ(run.cost.total_seconds, 14.0);
  EXPECT_EQ(run.provenance.at("torch"), "2.11.0");
  ASSERT_EQ(run.epochs.size(), 2U);
  EXPECT_EQ(run.epochs[1].at("recorded").at("kappa").at("image"), 0.8);
}

TEST_F(ResultsTest, ReadsTheConditionAndThePassesBesideTheSteps) {
  nlohmann::json object = result("agm noise_snr=0", 0, 0.97, {{"audio", 0.5}});
  object["condition"] = "noise_snr=0";
  object["cost"]["extra_passes_per_epoch"] = 2.5;
  write_run(path_ / "a", object);
  write_run(path_ / "b",
            result("agm", 0, 0.97, {{"audio", 0.5}}));  // as written before there were conditions
  const Results results = read_results(path_);
  EXPECT_THAT(results.notes, IsEmpty());
  ASSERT_EQ(results.runs.size(), 2U);
  EXPECT_EQ(results.runs[0].condition, "");
  EXPECT_EQ(results.runs[0].cost.extra_passes, 0);
  EXPECT_EQ(results.runs[1].condition, "noise_snr=0");
  EXPECT_EQ(results.runs[1].cost.extra_passes, 2.5);
}

TEST_F(ResultsTest, NamesUnfinishedAndDamagedRunsAndReadsTheOthers) {
  write_run(path_ / "a_good", result("joint", 0, 0.9, {{"audio", 0.4}}));
  write_run(path_ / "b_cut", result("joint", 1, 0.9, {{"audio", 0.4}}));
  write_file(path_ / "b_cut" / "result.json", R"({"label": "joint se)");
  nlohmann::json without_test = result("joint", 2, 0.9, {{"audio", 0.4}});
  without_test.erase("test");
  write_run(path_ / "c_lacks", without_test);
  nlohmann::json wrong_type = result("joint", 3, 0.9, {{"audio", 0.4}});
  wrong_type["seed"] = "three";
  write_run(path_ / "d_type", wrong_type);
  write_run(path_ / "e_unfinished", result("joint", 4, 0.9, {{"audio", 0.4}}));
  std::filesystem::remove(path_ / "e_unfinished" / "result.json");
  std::filesystem::create_directory(path_ / "not_a_run");
  write_file(path_ / "report.html", "");

  const Results results = read_results(path_);

  ASSERT_EQ(results.runs.size(), 1U);
  EXPECT_EQ(results.runs[0].folder, "a_good");
  EXPECT_THAT(results.notes,
              ElementsAre(AllOf(HasSubstr("b_cut"), HasSubstr("damaged: parse error at line 1")),
                          AllOf(HasSubstr("c_lacks"), HasSubstr("damaged: key 'test' not found")),
                          AllOf(HasSubstr("d_type"), HasSubstr("damaged: type must be number")),
                          AllOf(HasSubstr("e_unfinished"), HasSubstr("not finished"))));
}

TEST_F(ResultsTest, ADamagedLineOfMetricsCostsThatLineOnly) {
  write_run(path_ / "joint_0", result("joint", 0, 0.9, {{"audio", 0.4}}));
  write_file(path_ / "joint_0" / "metrics.jsonl",
             "{\"epoch\":1}\n{\"epoch\":\n{\"epoch\":3}\n[4]\n{\"epoch\":\"5\"}\n");

  const Results results = read_results(path_);

  ASSERT_EQ(results.runs.size(), 1U);
  EXPECT_EQ(results.runs[0].epochs.dump(), R"([{"epoch":1},{"epoch":3}])");
  EXPECT_THAT(results.notes, ElementsAre(HasSubstr("line 2"), HasSubstr("line 4"), HasSubstr("line 5")));
}

TEST_F(ResultsTest, ARunWithoutMetricsKeepsItsResult) {
  write_run(path_ / "joint_0", result("joint", 0, 0.9, {{"audio", 0.4}}));
  std::filesystem::remove(path_ / "joint_0" / "metrics.jsonl");

  const Results results = read_results(path_);

  EXPECT_EQ(results.runs.size(), 1U);
  EXPECT_THAT(results.notes,
              ElementsAre(AllOf(HasSubstr("joint_0 has no curves"), HasSubstr("No such file"))));
}

TEST_F(ResultsTest, NullIsNotANumberAndNotDamage) {
  nlohmann::json diverged = result("joint", 0, 0.9, {{"audio", 0.4}});
  diverged["test"]["loss"] = nullptr;
  write_run(path_ / "joint_0", diverged);

  const Results results = read_results(path_);

  ASSERT_EQ(results.runs.size(), 1U);
  EXPECT_TRUE(std::isnan(results.runs[0].test.loss));
}

TEST_F(ResultsTest, OfOneGroupAndSeedTheNewerRunCounts) {
  write_run(path_ / "a_new", result("joint", 0, 0.95, {{"audio", 0.4}}));
  write_run(path_ / "b_old", result("joint", 0, 0.85, {{"audio", 0.4}}));
  write_run(path_ / "c_newest_of_agm", result("agm", 0, 0.97, {{"audio", 0.4}}));
  const auto now = std::filesystem::last_write_time(path_ / "c_newest_of_agm" / "result.json");
  std::filesystem::last_write_time(path_ / "a_new" / "result.json", now);
  std::filesystem::last_write_time(path_ / "b_old" / "result.json", now - std::chrono::hours(1));

  const Results results = read_results(path_);

  ASSERT_EQ(results.runs.size(), 2U);
  EXPECT_EQ(results.runs[1].folder, "a_new");
  EXPECT_EQ(results.runs[1].test.score, 0.95);
  EXPECT_THAT(results.notes, ElementsAre(AllOf(HasSubstr("b_old"), HasSubstr("joint seed=0"))));

  std::filesystem::last_write_time(path_ / "b_old" / "result.json", now + std::chrono::hours(1));
  EXPECT_EQ(read_results(path_).runs[1].folder, "b_old");
}

TEST_F(ResultsTest, AMissingFolderIsWrongUse) {
  try {
    read_results(path_ / "runz");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("runz"), HasSubstr("No such file")));
  }
}

}  // namespace
}  // namespace poise
