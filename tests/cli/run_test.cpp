// A pipeline with the real executable: trained, skipped, locked, interrupted and gone on with, failed in part.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <iterator>

#include <nlohmann/json.hpp>

#include "process.h"

namespace {

namespace fs = std::filesystem;

/// Without the fields that are times, named *_seconds.
nlohmann::json without_seconds(nlohmann::json json) {
  if (json.is_object()) {
    for (auto entry = json.begin(); entry != json.end();) {
      const bool is_time = entry.key().ends_with("_seconds") || entry.key() == "peak_memory_mib";
      if (!is_time) *entry = without_seconds(*entry);
      entry = is_time ? json.erase(entry) : std::next(entry);
    }
  }
  return json;
}

class Run : public testing::Test {
 protected:
  void write(const std::string& text) { scratch_.write("small.toml", small_pipeline + text); }
  Finished run(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"run", "small.toml", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return poise_in(scratch_.path(), arguments);
  }
  /// The folders of the runs, by name.
  std::vector<fs::path> folders(const std::string& output = "runs/small") {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(scratch_.path() / output)) {
      if (entry.is_directory()) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  Scratch scratch_;
};

TEST_F(Run, TrainsReportsAndSkipsWhatIsFinished) {
  write("[matrix]\nseed = [0, 1]\n");
  const Finished first = run();
  EXPECT_EQ(first.status, 0) << first.err;
  const auto runs = folders();
  ASSERT_EQ(runs.size(), 6U);
  const auto result = nlohmann::json::parse(content(runs[0] / "result.json"));
  EXPECT_EQ(result.at("label"), "audio alone seed=0");
  EXPECT_EQ(result.at("alone"), "audio");
  EXPECT_EQ(result.at("title"), "Small");
  EXPECT_EQ(result.at("modalities"), nlohmann::json({"audio"}));
  const std::string hash = result.at("hash");
  EXPECT_EQ(runs[0].filename(), "audio-alone-seed-0-" + hash.substr(0, 8));
  EXPECT_TRUE(content(runs[4] / "config.toml").starts_with("seed = 0\n\n[dataset]\n"));
  EXPECT_NE(content(runs[4] / "provenance.toml").find("[plugins.concat]\nkind = \"fusion\"\n"),
            std::string::npos);
  EXPECT_TRUE(fs::exists(scratch_.path() / "runs/small/report.html"));

  const auto time = fs::last_write_time(runs[0] / "result.json");
  const Finished second = run();
  EXPECT_EQ(second.status, 0);
  EXPECT_EQ(second.err, "6 of 6 runs are finished.\n");
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(fs::last_write_time(runs[0] / "result.json"), time);
}

TEST_F(Run, IsTheSameRunWhereverItIsWritten) {
  write("[analysis]\nalone = false\n");
  ASSERT_EQ(run({"--quiet"}).status, 0);
  ASSERT_EQ(run({"--quiet", "--output", "elsewhere"}).status, 0);
  ASSERT_EQ(folders().size(), 1U);
  EXPECT_EQ(folders()[0].filename(), folders("elsewhere")[0].filename());
  EXPECT_EQ(content(folders()[0] / "weights.safetensors"),
            content(folders("elsewhere")[0] / "weights.safetensors"));
}

TEST_F(Run, KeepsASecondProcessOutOfItsFolder) {
  write("[analysis]\nalone = false\n");
  ASSERT_EQ(run({"--quiet"}).status, 0);
  const std::string folder = "runs/small/" + folders()[0].filename().string();
  fs::remove(folders()[0] / "result.json");
  const int lock = ::open((folders()[0] / "lock").c_str(), O_RDWR);
  ASSERT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0) << "the finished process has let go";
  const Finished second = run({"--quiet"});
  EXPECT_EQ(second.status, 1);
  EXPECT_EQ(second.err,
            "poise: the folder " + folder +
                " is in use by another process of poise; wait for it, or choose another folder with "
                "--output.\n");
  ::close(lock);
  EXPECT_EQ(run({"--quiet"}).status, 0);
}

TEST_F(Run, GoesOnAfterARunThatFails) {
  write("[matrix]\nseed = [0, 1]\n[analysis]\nalone = false\n");
  ASSERT_EQ(run({"--quiet"}).status, 0);
  const auto runs = folders();
  const std::string first = "runs/small/" + runs[0].filename().string();
  for (const auto& folder : runs) fs::remove_all(folder);
  fs::create_directories(runs[0] / "weights.safetensors" / "in the way");
  const Finished again = run({"--quiet"});
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(again.err, "poise: run 'joint seed=0' failed: cannot write " + first +
                           "/weights.safetensors: Is a directory\n");
  EXPECT_FALSE(fs::exists(runs[0] / "result.json"));
  EXPECT_TRUE(fs::exists(runs[1] / "result.json"));
  EXPECT_NE(again.out.find("joint"), std::string::npos) << "what is there is reported";
}

TEST_F(Run, GoesOnAfterAnInterruptionBitForBit) {
  write("[analysis]\nalone = false\n");
  ASSERT_EQ(run({"--quiet", "--output", "whole"}).status, 0);
  const Finished interrupted =
      interrupt_poise_in(scratch_.path(), {"run", "small.toml", "--threads", "1"}, "epoch 1/3", SIGINT);
  EXPECT_EQ(interrupted.status, 130);
  EXPECT_TRUE(interrupted.err.ends_with("Interrupted. The same command goes on from here.\n"))
      << interrupted.err;
  EXPECT_FALSE(fs::exists(folders()[0] / "result.json"));
  const Finished rest = run();
  EXPECT_EQ(rest.status, 0);
  EXPECT_EQ(rest.err.find("epoch 1/3"), std::string::npos) << rest.err;

  const fs::path whole = folders("whole")[0];
  const fs::path resumed = folders()[0];
  EXPECT_EQ(content(resumed / "weights.safetensors"), content(whole / "weights.safetensors"));
  EXPECT_EQ(without_seconds(nlohmann::json::parse(content(resumed / "result.json"))),
            without_seconds(nlohmann::json::parse(content(whole / "result.json"))));
}

}  // namespace
