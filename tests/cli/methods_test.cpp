// Every modulation there is, by the real executable: with two and with three modalities it trains, or is refused with
// a sentence; and a run that was killed in the middle goes on to the same weights, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <csignal>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "process.h"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Options with which a method acts within a few epochs of a small run.
const std::map<std::string, std::string> quick_options = {
    {"gblending", "super_epoch = 2"},
    {"mses", "patience = 2"},
    {"opm", "warmup = 1"},
    {"ogm_ge", "alpha = 0.5\nparameters = \"all\""},
    {"relearning", "reinit_epoch = 2"},
    {"valuation", "warmup = 2"},
};

std::string pipeline(const std::string& method, int modalities, bool staged) {
  std::ostringstream text;
  text << "title = \"Small\"\n[dataset]\nplugin = \"synthetic\"\ncount = " << modalities
       << "\ntrain = 160\nvalidation = 40\ntest = 40\n"
       << (staged ? "form = \"image\"\nside = 16\n" : "dimensions = 6\n");
  for (int m = 0; m < modalities; ++m) {
    text << "[encoder.m" << m << "]\n"
         << (staged ? "plugin = \"lenet\"\n" : "plugin = \"mlp\"\nhidden = [8]\nwidth = 8\n");
  }
  const auto options = quick_options.find(method);
  text
      << "[fusion]\nplugin = \"" << (staged ? "mmtm" : "concat") << "\"\n"
      << "[modulation]\nplugin = \"" << method << "\"\n"
      << (options != quick_options.end() ? options->second : "")
      << "\n[train]\nepochs = 8\nbatch_size = 32\noptimizer = { name = \"sgd\", lr = 0.05, momentum = 0.9 }\n"
      << "[analysis]\nalone = false\n";
  return text.str();
}

/// Folders of the runs of the method itself: not those of its teachers.
fs::path run_folder(const fs::path& scratch, const std::string& method) {
  if (!fs::exists(scratch / "runs" / "small")) return {};
  for (const auto& entry : fs::directory_iterator(scratch / "runs" / "small")) {
    if (entry.is_directory() && entry.path().filename().string().starts_with(method + "-"))
      return entry.path();
  }
  return {};
}

/// All that a run leaves behind, without times.
std::string outcome(const fs::path& run) {
  std::string text = content(run / "weights.safetensors");
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    auto json = nlohmann::json::parse(line);
    json.erase("epoch_seconds");
    text += json.dump() + "\n";
  }
  auto result = nlohmann::json::parse(content(run / "result.json"));
  for (const char* name :
       {"first_step_seconds", "train_seconds", "method_seconds", "total_seconds", "peak_memory_mib"}) {
    result.at("cost").erase(name);
  }
  return text + result.dump();
}

const std::vector<std::string> command = {"run", "small.toml", "--threads", "1"};

class Methods : public testing::Test {
 public:
  explicit Methods(std::string method) : method_(std::move(method)) {}

  void TestBody() override {
    int trained = 0;
    for (const int modalities : {2, 3}) {
      for (const bool staged : {false, true}) {
        SCOPED_TRACE(std::to_string(modalities) + (staged ? " modalities, mmtm" : " modalities, concat"));
        if (trains_and_resumes(pipeline(method_, modalities, staged))) {
          ++trained;
          break;
        }
      }
    }
    EXPECT_GE(trained, 1) << method_ << " trains nothing";
  }

 private:
  /// "] mses patience=2", as the progress begins.
  [[nodiscard]] std::string label() const {
    const auto options = quick_options.find(method_);
    std::string text = "] " + method_;
    if (options == quick_options.end()) return text;
    std::string shown = " " + options->second;
    for (std::size_t at = 0; (at = shown.find(" = ")) != std::string::npos;) shown.replace(at, 3, "=");
    std::erase(shown, '"');
    std::replace(shown.begin(), shown.end(), '\n', ' ');
    text += shown;
    return text;
  }

  /// False when the pipeline is refused, with a sentence.
  bool trains_and_resumes(const std::string& text) const {
    const Scratch whole;
    whole.write("small.toml", text);
    const Finished checked = poise_in(whole.path(), {"check", "small.toml"});
    if (checked.status == 2) {
      EXPECT_THAT(checked.err, HasSubstr(method_ + " needs "));
      return false;
    }
    const Finished finished = poise_in(whole.path(), command);
    EXPECT_EQ(finished.status, 0) << finished.err;
    if (finished.status != 0) return true;

    const Scratch killed;
    killed.write("small.toml", text);
    EXPECT_EQ(interrupt_poise_in(killed.path(), command, label() + " seed=0  epoch 4/8", SIGKILL).status,
              SIGKILL);
    EXPECT_FALSE(fs::exists(run_folder(killed.path(), method_) / "result.json"));
    const Finished resumed = poise_in(killed.path(), command);
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_TRUE(outcome(run_folder(killed.path(), method_)) == outcome(run_folder(whole.path(), method_)));
    return true;
  }

  std::string method_;
};

/// The names that `poise plugins list` gives.
std::vector<std::string> modulations() {
  const Scratch scratch;
  std::vector<std::string> names;
  std::istringstream lines(poise_in(scratch.path(), {"plugins", "list"}).out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    std::string name;
    words >> name >> kind;
    if (kind == "modulation") names.push_back(name);
  }
  return names;
}

const bool registered = [] {
  for (const auto& name : modulations()) {
    testing::RegisterTest("Methods", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [name]() -> Methods* { return new Methods(name); });
  }
  return true;
}();

/// A teacher is a run of one modality, and so is a baseline: every fusion must take one alone.
TEST(AllFusions, TrainAModalityAlone) {
  for (const std::string fusion : {"attention", "concat", "film", "gated", "maxout", "mmtm", "sum"}) {
    const Scratch scratch;
    std::string text = pipeline("umt", 2, true);
    text.replace(text.find("\"mmtm\""), 6, '"' + fusion + '"');
    scratch.write("small.toml", text);
    const Finished finished =
        poise_in(scratch.path(), {"run", "small.toml", "--threads", "1", "--set", "train.epochs=1"});
    EXPECT_EQ(finished.status, 0) << fusion << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("m0 alone")) << fusion;
    EXPECT_THAT(finished.out, HasSubstr("m1 alone")) << fusion;
  }
}

TEST(AllMethods, AreFound) {
  EXPECT_TRUE(registered);
  EXPECT_THAT(modulations(), testing::Contains("joint"));
}

}  // namespace
