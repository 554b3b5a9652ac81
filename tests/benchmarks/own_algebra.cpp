#include "own_algebra.h"

#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "pipeline/runner.h"
#include "poise/error.h"
#include "poise/joint_training.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

struct StepSeconds {
  double own = 0;
  double all = 0;
};

StepSeconds seconds_of(const nlohmann::json& result) {
  const auto& cost = result.at("cost");
  const double steps = cost.at("steps");
  return {cost.at("method_seconds").get<double>() / steps, cost.at("train_seconds").get<double>() / steps};
}

}  // namespace

void own_algebra() {
  const testing::TemporaryFolder temporary;
  RunOptions options;
  options.file = POISE_OWN_ALGEBRA;
  options.output = temporary.path();
  options.threads = 2;
  options.quiet = true;
  std::ostringstream report;
  if (run_pipeline(options, report) != 0) throw Error("a run of " + options.file.string() + " failed.");

  std::map<std::string, StepSeconds> methods;
  for (const auto& entry : std::filesystem::directory_iterator(temporary.path())) {
    std::ifstream file(entry.path() / "result.json");
    if (!file) continue;
    const auto result = nlohmann::json::parse(file);
    const bool is_teacher = !result.at("alone").get_ref<const std::string&>().empty();
    if (!is_teacher) methods[result.at("group")] = seconds_of(result);
  }
  const StepSeconds joint = methods.at(joint_training);
  std::printf("own algebra of a method, of a joint step of %.0f ms (resnet18)\n", 1e3 * joint.all);
  for (const auto& [group, seconds] : methods) {
    std::printf("  %-32s %5.1f %%\n", group.c_str(), 100 * (seconds.own - joint.own) / joint.all);
  }
}

}  // namespace poise
