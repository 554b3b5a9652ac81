#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "poise/error.h"
#include "poise/files.h"
#include "poise/testing_folder.h"
#include "training/run.h"
#include "training/test_plugins.h"

namespace poise {

using testing::Join;
using testing::Linear;
using testing::Points;
using testing::Scripted;

/// A run on a data set of random vectors, with plugins that a test can look into.
class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fresh_plugins();
    auto config = Config::parse("epochs = 3\nbatch_size = 8\noptimizer = { name = \"adam\", lr = 0.01 }");
    request_.train = TrainSettings::read(config);
    request_.folder = folder_;
    request_.label = "test";
    request_.seed = 4;
    request_.identity = {{"hash", "h"}, {"label", "test"}};
  }

  void fresh_plugins() {
    const auto named = [](const auto& object, const char* name) {
      return Loaded<typename std::decay_t<decltype(object)>::element_type>{object, {name, "1", "test.so"}};
    };
    points_ = std::make_shared<Points>();
    scripted_ = std::make_shared<Scripted>();
    plugins_ = {named(std::static_pointer_cast<Dataset>(points_), "points"),
                {0, 1},
                {named(std::shared_ptr<Encoder>(std::make_shared<Linear>()), "linear"),
                 named(std::shared_ptr<Encoder>(std::make_shared<Linear>()), "linear")},
                named(std::shared_ptr<Fusion>(std::make_shared<Join>()), "join"),
                named(std::static_pointer_cast<Modulation>(scripted_), "scripted")};
  }

  void use(const std::shared_ptr<Modulation>& modulation) { plugins_.modulation.object = modulation; }

  Outcome run() {
    Progress progress(1, true);
    return train(request_, plugins_, progress);
  }
  std::string failure(Outcome* outcome = nullptr) {
    try {
      const Outcome ended = run();
      if (outcome != nullptr) *outcome = ended;
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  /// Runs once uninterrupted, and then, for each of the run's `steps`, stopped after that step and gone on from there,
  /// with plugins that `prepare` makes: whatever is left behind must be the same. `prepare` gets what every step of
  /// the modulation has to call. Ctrl-C is process-wide, so each run is a child.
  void expect_resumes(int steps, const std::function<void(const std::function<void()>& stepped)>& prepare) {
    ASSERT_EQ(in_child(0, prepare), 10);
    const std::string expected = outputs();
    for (int stop = 1; stop <= steps; ++stop) {
      std::filesystem::remove_all(folder_);
      std::filesystem::create_directories(folder_);
      ASSERT_EQ(in_child(stop, prepare), 11) << stop;
      ASSERT_EQ(in_child(0, prepare), 10) << stop;
      EXPECT_TRUE(outputs() == expected) << "stopped after step " << stop;
    }
  }

  nlohmann::json result() const { return nlohmann::json::parse(read_file(folder_ / "result.json")); }

 private:
  int in_child(int stop_after, const std::function<void(const std::function<void()>&)>& prepare) {
    const pid_t child = fork();
    if (child == 0) {
      fresh_plugins();
      int steps = 0;
      prepare([&] {
        if (++steps == stop_after) request_stop();
      });
      at::set_num_threads(1);
      const std::string problem = failure(&outcome_);
      if (!problem.empty()) std::cerr << problem << '\n';
      _exit(!problem.empty() ? 12 : outcome_ == Outcome::finished ? 10 : 11);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }

  /// What a run leaves behind, without its times.
  std::string outputs() const {
    std::string text;
    std::istringstream lines(read_file(folder_ / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      auto json = nlohmann::json::parse(line);
      json.erase("epoch_seconds");
      text += json.dump();
    }
    auto json = result();
    for (const char* name :
         {"first_step_seconds", "train_seconds", "method_seconds", "total_seconds", "peak_memory_mib"}) {
      json["cost"].erase(name);
    }
    return text + json.dump() + read_file(folder_ / "weights.safetensors");
  }

  Outcome outcome_ = Outcome::finished;

 protected:
  testing::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
  std::shared_ptr<Points> points_;
  std::shared_ptr<Scripted> scripted_;
  RunPlugins plugins_;
  RunRequest request_;
};

}  // namespace poise
