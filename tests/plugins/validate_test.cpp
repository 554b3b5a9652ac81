// `poise plugins validate`: each of the plugins that tell one lie is found by the one check that is for it, and by no other.
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "plugins_fixture.h"
#include "poise/identity.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::fixture;
using ::testing::HasSubstr;
using testing::install;
using testing::manifest;
using ::testing::StartsWith;
using testing::with;

struct Lie {
  std::string plugin;
  std::string kind;
  std::string found;  ///< the check and its outcome
  std::string words;  ///< of its sentence
};

const std::vector<Lie> lies = {
    {"bad_crash", "modulation", "finite_for_one_class crashed", "ended by signal 11 (segmentation fault)"},
    {"bad_hang", "modulation", "finite_for_a_dead_modality crashed",
     "still running after 30 s, so it was killed"},
    {"bad_leak", "modulation", "memory_is_flat failed", "MiB more in memory"},
    {"bad_stdout", "modulation", "quiet failed", "\"bad_stdout begins\""},
    {"bad_seed", "modulation", "generator_not_reseeded failed", "it seeds it"},
    {"bad_neutral", "modulation", "neutral_options_are_joint_training failed", "is not joint training's"},
    {"bad_update", "modulation", "only_the_optimizer_updates failed", "weight"},
    {"bad_buffers", "modulation", "only_the_optimizer_updates failed", "norm.running_"},
    {"bad_subsets", "modulation", "subsets_as_declared failed", "it asks for 3 subsets, and declares 1"},
    {"bad_extra", "modulation", "extra_passes_as_declared failed", "visited 16 samples outside"},
    {"bad_backward", "modulation", "backward_passes_as_declared failed", "it makes 2 backward passes"},
    {"bad_state", "modulation", "resume_continues failed", "other bits"},
    {"bad_exports", "modulation", "exports failed", "beside poise_plugin"},
    {"bad_modes", "encoder", "modes_agree failed", "other bits"},
    {"bad_rows", "encoder", "rows_are_independent failed", "the other samples of the batch"},
    {"bad_gradient", "encoder", "gradient_reaches_every_parameter failed", "unused"},
    {"bad_padding", "encoder", "padding_changes_nothing failed", "other values in the padding"},
    {"bad_additive", "fusion", "shares_sum_to_logits failed", "the shares miss the logits"},
    {"bad_ids", "dataset", "stable_ids failed", "depends on its place in the batch"},
    {"bad_targets", "dataset", "targets_in_range failed", "from 0 to 2, of 2 classes"},
    {"bad_splits", "dataset", "splits_share_no_sample failed", "of validation has all inputs of sample"},
};

/// "CHECK OUTCOME: SENTENCE" of each check that failed or crashed.
std::vector<std::string> faults(const nlohmann::json& validation) {
  std::vector<std::string> found;
  for (const auto& check : validation.at("checks")) {
    const auto outcome = check.at("outcome").get<std::string>();
    if (outcome != "failed" && outcome != "crashed") continue;
    found.push_back(check.at("name").get<std::string>() + " " + outcome + ": " +
                    check.at("sentence").get<std::string>());
  }
  return found;
}

class ValidateTest : public testing::PluginsTest {
 protected:
  /// `poise plugins validate PATH ...`
  [[nodiscard]] Finished validate(const fs::path& path, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"plugins", "validate", path.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return poise_in(folder_.path(), arguments);
  }
  [[nodiscard]] fs::path installed(const std::string& name, const std::string& kind = "modulation") const {
    return install(plugins_, manifest(name, kind), fixture(name));
  }
  [[nodiscard]] static fs::path built_in(const std::string& name) {
    return fs::path(POISE_EXECUTABLE).parent_path().parent_path() / "lib/poise/plugins" / name;
  }
};

class LieTest : public ValidateTest, public ::testing::WithParamInterface<Lie> {};

TEST_P(LieTest, IsFoundByTheOneCheckForIt) {
  const Lie& lie = GetParam();
  if (lie.plugin == "bad_leak" && std::string(POISE_BUILT_SANITIZER) != "none")
    GTEST_SKIP() << "a sanitizer keeps freed memory, so that the check is skipped";
  const Finished finished = validate(installed(lie.plugin, lie.kind), {"--json", "--timeout", "30"});
  ASSERT_EQ(finished.status, 1) << finished.out << finished.err;
  EXPECT_EQ(finished.err, "");
  EXPECT_THAT(faults(nlohmann::json::parse(finished.out)),
              ElementsAre(AllOf(StartsWith(lie.found + ": "), HasSubstr(lie.words))));
}

INSTANTIATE_TEST_SUITE_P(Lies, LieTest, ::testing::ValuesIn(lies),
                         [](const auto& lie) { return lie.param.plugin; });

TEST_F(ValidateTest, ABuiltInPluginPasses) {
  const Finished finished = validate(built_in("joint"), {"--seed", "7"});
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_EQ(finished.err, "");
  EXPECT_THAT(finished.out,
              AllOf(StartsWith("passed   opens\n"), HasSubstr("\npassed   exports\n"),
                    HasSubstr("\npassed   trains\n"), HasSubstr("\nskipped  lost_state_is_refused")));
  const std::string last = finished.out.substr(finished.out.find("\n\n") + 2);
  EXPECT_THAT(last, ::testing::MatchesRegex(
                        "[0-9]+ checks, seed 7: [0-9]+ passed, [0-9]+ skipped(, [0-9]+ warning)?\\.\n"));
}

TEST_F(ValidateTest, ThePathMayBeTheLibrary) {
  const Finished finished = validate(built_in("concat") / "concat.so", {"--json"});
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  const auto json = nlohmann::json::parse(finished.out);
  EXPECT_EQ(json.at("name"), "concat");
  EXPECT_EQ(json.at("kind"), "fusion");
  EXPECT_EQ(json.at("library"), (built_in("concat") / "concat.so").string());
  EXPECT_EQ(json.at("seed"), 1);
  EXPECT_THAT(faults(json), ElementsAre());
  std::size_t counted = 0;
  for (const auto& [outcome, count] : json.at("counts").items()) counted += count.get<std::size_t>();
  EXPECT_EQ(counted, json.at("checks").size());
}

TEST_F(ValidateTest, APluginOfAnotherLibTorchIsRefusedUnopened) {
  auto other = manifest("bad_when_opened");
  other.built_with = with(other.built_with, "torch", "2.10.0");
  const fs::path folder = install(plugins_, other, fixture("bad_when_opened"));
  const Finished finished = validate(folder);
  EXPECT_EQ(finished.status, 3);
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(finished.err,
            "poise: the modulation 'bad_when_opened' (" + folder.string() +
                ") cannot be used: It was built for LibTorch 2.10.0, but this host has LibTorch "
                "2.11.0; get the build for LibTorch 2.11.0.\n");
}

TEST_F(ValidateTest, WhatTheLoaderRefusesIsRefusedInItsWords) {
  const std::string library = install_fixture("bad_undefined");
  const Finished finished = validate(library);
  EXPECT_EQ(finished.status, 3);
  EXPECT_EQ(finished.out, "");
  EXPECT_THAT(finished.err, StartsWith("poise: the modulation 'bad_undefined' cannot be used: " + library +
                                       " needs elsewhere::balance(double, int), which "));
}

TEST_F(ValidateTest, ALibraryThatCrashesWhenItIsOpenedRunsNoOtherCheck) {
  const Finished finished = validate(installed("bad_when_opened"));
  EXPECT_EQ(finished.status, 1);
  EXPECT_EQ(finished.err, "");
  EXPECT_THAT(finished.out, AllOf(StartsWith("crashed  opens "), HasSubstr("  ended by signal 6 (aborted)"),
                                  HasSubstr("\n\n1 check, seed 1: 1 crashed.\n")));
}

TEST_F(ValidateTest, OptionsWithoutADefaultAreGivenWithSet) {
  const fs::path folder = installed("good_plugin");
  const Finished without = validate(folder, {"--only", "defaults_construct"});
  EXPECT_EQ(without.status, 1);
  EXPECT_THAT(without.out, AllOf(StartsWith("failed   defaults_construct"), HasSubstr("note"),
                                 HasSubstr("\n\n1 check, seed 1: 1 failed.\n")));
  const Finished given = validate(
      folder, {"--only", "defaults_construct", "--set", "note=hello", "--set", "schedule.shape=cosine"});
  EXPECT_EQ(given.status, 0) << given.out;
  EXPECT_THAT(given.out, StartsWith("passed   defaults_construct\n"));
}

TEST_F(ValidateTest, ListNamesTheChecksAndOpensNothing) {
  const fs::path folder = installed("bad_when_opened");
  const Finished text = validate(folder, {"--list"});
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, AllOf(StartsWith("opens "), HasSubstr("\nsubsets_as_declared "),
                              HasSubstr("  nothing is written to stdout, which is for results\n")));
  const auto json = nlohmann::json::parse(validate(folder, {"--list", "--json"}).out);
  EXPECT_EQ(json.front().at("name"), "opens");
  EXPECT_EQ(json.back().at("name"), "quiet");
  for (const auto& check : json) EXPECT_NE(check.at("purpose"), "");
}

TEST_F(ValidateTest, WrongUseHasStatusTwo) {
  const fs::path folder = installed("good_plugin");
  const auto error_text = [&](const fs::path& path, const std::vector<std::string>& more) {
    const Finished finished = validate(path, more);
    EXPECT_EQ(finished.status, 2);
    EXPECT_EQ(finished.out, "");
    return finished.err;
  };
  EXPECT_EQ(error_text("nowhere", {}), "poise: there is no nowhere.\n");
  EXPECT_EQ(error_text(plugins_, {}), "poise: " + plugins_.string() +
                                          " is no plugin of Poise: there is no plugin.toml in " +
                                          plugins_.string() + ". poise_add_plugin() writes it.\n");
  EXPECT_EQ(error_text(folder / "plugin.toml", {}),
            "poise: " + (folder / "plugin.toml").string() +
                " is not the library of the plugin in its folder, which is " +
                (folder / "good_plugin.so").string() + ".\n");
  EXPECT_THAT(error_text(folder, {"--only", "memory_is_flatt"}),
              AllOf(HasSubstr("no check 'memory_is_flatt'"), HasSubstr("did you mean 'memory_is_flat'?")));
  EXPECT_THAT(error_text(folder, {"--set", "note"}), HasSubstr("must read KEY=VALUE"));
  EXPECT_THAT(error_text(folder, {"--timeout", "0"}), StartsWith("poise: --timeout: "));
}

}  // namespace
}  // namespace poise
