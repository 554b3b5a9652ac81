// `poise plugins`: what it prints, and its exit status.
#include <algorithm>
#include <string>
#include <vector>

#include "plugins_fixture.h"

namespace poise {
namespace {

using testing::fixture;
using testing::manifest;
using testing::with;
using CommandsTest = testing::PluginsTest;

TEST_F(CommandsTest, APluginOfAnotherLibTorchIsRefusedUnopened) {
  auto other = manifest("bad_when_opened");
  other.built_with = with(other.built_with, "torch", "2.10.0");
  testing::install(plugins_, other, fixture("bad_when_opened"));
  const Finished finished = poise({"plugins", "info", "bad_when_opened"});
  EXPECT_EQ(finished.status, 3);
  EXPECT_NE(
      finished.out.find("\nstate      incompatible\n           It was built for LibTorch 2.10.0, but this "
                        "host has LibTorch 2.11.0; get the build for LibTorch 2.11.0.\n"),
      std::string::npos)
      << finished.out;
  EXPECT_NE(finished.out.find("\ntorch             2.10.0            2.11.0\n"), std::string::npos)
      << finished.out;
}

TEST_F(CommandsTest, ListingOpensNothing) {
  install_fixture("bad_when_opened");
  auto other = manifest("other");
  other.built_with = with(other.built_with, "platform", "linux-aarch64-gnu");
  testing::install(plugins_, other);
  auto joint = manifest("joint");
  joint.summary = "an impostor\x1b[2J";
  testing::install(plugins_, joint);

  const Finished text = poise({"plugins", "list"});
  EXPECT_EQ(text.status, 0);
  EXPECT_EQ(text.err, "");
  const auto expect_line = [&](const std::string& line) {
    EXPECT_NE(text.out.find("\n" + line + "\n"), std::string::npos) << line << "\nis not in\n" << text.out;
  };
  expect_line("bad_when_opened  modulation  1.2.3    ok            --plugin-dir  a plugin of the tests");
  expect_line("other            modulation  1.2.3    incompatible  --plugin-dir  a plugin of the tests");
  expect_line(
      "joint            modulation  0.1.0    hidden        built in      plain joint training, nothing "
      "rebalanced");
  EXPECT_NE(text.out.find(" 1 incompatible, 1 "), std::string::npos) << text.out;

  const auto json = nlohmann::json::parse(poise({"plugins", "list", "--json"}).out);
  const auto listed =
      std::ranges::find_if(json, [](const auto& plugin) { return plugin.at("name") == "other"; });
  ASSERT_NE(listed, json.end());
  EXPECT_EQ(listed->at("state"), "incompatible");
  EXPECT_EQ(listed->at("reasons").size(), 1U);
  EXPECT_EQ(listed->at("folder"), (plugins_ / "other").string());
}

TEST_F(CommandsTest, TheManifestThatTheBuildWritesIsTheLibrarysOwn) {
  const Finished finished = poise({"plugins", "info", "joint"});
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_NE(finished.out.find("\nIt has no options.\n"), std::string::npos) << finished.out;
}

TEST_F(CommandsTest, InfoShowsOptionsAndTheLibrarysHash) {
  const std::string library = install_fixture("good_plugin");
  auto manifest_with_more = manifest("good_plugin");
  manifest_with_more.built_with.emplace_back("cuda_driver", "580");
  write_file(plugins_ / "good_plugin/plugin.toml", testing::toml_text(manifest_with_more));
  const Finished text = poise({"plugins", "info", "good_plugin"});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.out.find("\ncuda_driver       580               unknown\n"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("\nsha256     " + sha256(read_file(library)) + "\n"), std::string::npos)
      << text.out;
  EXPECT_TRUE(text.out.ends_with(
      "\nOPTION          TYPE     DEFAULT   RANGE                    MEANING\n"
      "alpha           number   1.5       at least 0               strength of the modulation\n"
      "window          integer  10        from 1 to 100            epochs in which it acts\n"
      "note            text     required                           what the log says\n"
      "schedule.shape  text     \"flat\"    one of \"flat\", \"cosine\"  how alpha changes\n"))
      << text.out;

  const auto json = nlohmann::json::parse(poise({"plugins", "info", "good_plugin", "--json"}).out);
  EXPECT_EQ(json.at("state"), "ok");
  EXPECT_EQ(json.at("built_with").at("cuda_driver"), "580");
  EXPECT_EQ(json.at("host").at("torch"), "2.11.0");
  EXPECT_EQ(json.at("library"), library);
  ASSERT_EQ(json.at("options").size(), 4U);
  EXPECT_EQ(json.at("options")[2], (nlohmann::json{{"key", "note"},
                                                   {"type", "text"},
                                                   {"required", true},
                                                   {"default", ""},
                                                   {"range", ""},
                                                   {"meaning", "what the log says"}}));
}

TEST_F(CommandsTest, WrongUseHasStatusTwo) {
  install_fixture("good_plugin");
  const Finished unknown = poise({"plugins", "info", "god_plugin"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(unknown.out, "");
  EXPECT_TRUE(unknown.err.starts_with(
      "poise: unknown plugin 'god_plugin'; did you mean 'good_plugin'?\n  searched: " + plugins_.string() +
      " (--plugin-dir)\n"))
      << unknown.err;
  const auto error_text = [&](const std::vector<std::string>& arguments) {
    const Finished finished = poise_in(folder_.path(), arguments);
    EXPECT_EQ(finished.status, 2);
    EXPECT_EQ(finished.out, "");
    return finished.err.substr(0, finished.err.find('\n'));
  };
  EXPECT_EQ(error_text({"plugins", "info", "x", "--plugin-dir", "/nowhere"}),
            "poise: --plugin-dir: Directory does not exist: /nowhere");
  EXPECT_EQ(error_text({"plugins", "info"}), "poise: NAME is required");
  EXPECT_EQ(error_text({"plugins"}),
            "poise: say 'plugins list', 'plugins info NAME', 'plugins docs' or 'plugins validate PATH'.");
  EXPECT_EQ(error_text({"plugins", "lst"}), "poise: The following argument was not expected: lst");
  EXPECT_EQ(error_text({}), "poise: a verb is missing. Run with --help for more information.");
  EXPECT_EQ(error_text({"trian"}), "poise: The following argument was not expected: trian");
}

}  // namespace
}  // namespace poise
