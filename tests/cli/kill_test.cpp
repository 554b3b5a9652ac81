// A process that dies in the middle of a run, or while it writes a checkpoint, loses nothing: the same command goes
// on, and its weights and metrics are those of an uninterrupted run, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <csignal>

#include <fstream>

#include <nlohmann/json.hpp>

#include "process.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string pipeline = small_pipeline + std::string(R"([modulation]
plugin = "agm"
[analysis]
alone = false
)");

fs::path run_folder(const fs::path& scratch) {
  for (const auto& entry : fs::directory_iterator(scratch / "runs" / "small")) {
    if (entry.is_directory()) return entry.path();
  }
  return {};
}

/// Weights and metrics, without the fields named *_seconds.
std::string outcome(const fs::path& scratch) {
  const fs::path run = run_folder(scratch);
  std::string text = content(run / "weights.safetensors");
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    auto json = nlohmann::json::parse(line);
    json.erase("epoch_seconds");
    text += json.dump() + "\n";
  }
  const auto result = nlohmann::json::parse(content(run / "result.json"));
  return text + result.at("test").dump() + result.at("best_epoch").dump();
}

std::vector<std::string> with_fault(const std::string& fault, int at, const std::string& path) {
  const std::string preload = "LD_PRELOAD=" POISE_FAULT_INJECTOR;
  return {"/usr/bin/env", preload, "POISE_FAULT=" + fault, "POISE_FAULT_AT=" + std::to_string(at),
          "POISE_FAULT_PATH=" + path,
          // A sanitised executable wants its own runtime to be the first preloaded library.
          "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"};
}

const std::vector<std::string> command = {"run", "small.toml", "--threads", "1"};

class Kill : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const Scratch scratch;
    scratch.write("small.toml", pipeline);
    ASSERT_EQ(poise_in(scratch.path(), command).status, 0);
    expected() = outcome(scratch.path());
  }
  static std::string& expected() {
    static std::string text;
    return text;
  }
};

TEST_F(Kill, BetweenTwoEpochs) {
  const Scratch scratch;
  scratch.write("small.toml", pipeline);
  const Finished killed = interrupt_poise_in(scratch.path(), command, "epoch 2/3", SIGKILL);
  EXPECT_EQ(killed.status, SIGKILL);
  EXPECT_FALSE(fs::exists(run_folder(scratch.path()) / "result.json"));
  ASSERT_EQ(poise_in(scratch.path(), command).status, 0);
  EXPECT_TRUE(outcome(scratch.path()) == expected());
}

TEST_F(Kill, InsideTheWritingOfACheckpoint) {
  int killed = 0;
  for (const int at : {1, 2, 3, 5, 8, 13, 21, 1000}) {
    const Scratch scratch;
    scratch.write("small.toml", pipeline);
    const int status = poise_in(scratch.path(), command, with_fault("kill", at, "checkpoint")).status;
    killed += status == SIGKILL ? 1 : 0;
    if (status != SIGKILL) {
      EXPECT_EQ(status, 0);
      EXPECT_EQ(at, 1000) << "there are more calls than that";
    }
    ASSERT_EQ(poise_in(scratch.path(), command).status, 0) << at;
    EXPECT_TRUE(outcome(scratch.path()) == expected()) << "killed at call " << at;
    EXPECT_FALSE(fs::exists(run_folder(scratch.path()) / "checkpoint.safetensors"));
  }
  EXPECT_EQ(killed, 7);
}

TEST_F(Kill, ADamagedCheckpointIsNamedAndTheOneBeforeItIsUsed) {
  const Scratch scratch;
  scratch.write("small.toml", pipeline);
  interrupt_poise_in(scratch.path(), command, "epoch 2/3", SIGINT);
  const fs::path checkpoint = run_folder(scratch.path()) / "checkpoint.safetensors";
  ASSERT_TRUE(fs::exists(checkpoint));
  fs::resize_file(checkpoint, fs::file_size(checkpoint) / 2);
  const Finished resumed = poise_in(scratch.path(), command);
  EXPECT_EQ(resumed.status, 0);
  EXPECT_THAT(resumed.err, HasSubstr("checkpoint.safetensors is damaged"));
  EXPECT_TRUE(outcome(scratch.path()) == expected());
}

TEST_F(Kill, AFullDiskIsSaidAndLosesNothing) {
  for (const std::string path : {"checkpoint", "metrics.jsonl", "weights.safetensors", "result.json"}) {
    const Scratch scratch;
    scratch.write("small.toml", pipeline);
    const Finished full = poise_in(scratch.path(), command, with_fault("full", 2, path));
    EXPECT_EQ(full.status, 1) << path;
    EXPECT_THAT(full.err, HasSubstr("cannot write")) << path;
    EXPECT_THAT(full.err, HasSubstr("No space left on device")) << path;
    for (const auto& entry : fs::recursive_directory_iterator(scratch.path())) {
      EXPECT_NE(entry.path().extension(), ".part") << entry.path();
    }
    ASSERT_EQ(poise_in(scratch.path(), command).status, 0) << path;
    EXPECT_TRUE(outcome(scratch.path()) == expected()) << path;
  }
}

}  // namespace
