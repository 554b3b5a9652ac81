// Plugins that lie, each with the sentence and the exit status that it gets: by the loader's functions and by the
// real `poise plugins`.
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "../cli/process.h"
#include "plugins/loader.h"
#include "plugins/test_plugins.h"
#include "poise/encoder.h"
#include "poise/modulation.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::manifest;
using testing::with;

fs::path fixture(const std::string& name) { return fs::path(POISE_FIXTURES) / (name + ".so"); }

class PluginsTest : public ::testing::Test {
 protected:
  // The user's own plugins are not the test's.
  static void SetUpTestSuite() { ::setenv("XDG_DATA_HOME", POISE_FIXTURES, 1); }
  PluginsTest() { fs::create_directory(plugins_); }

  /// Installs the fixture `name` with a manifest that fits; returns its library's path.
  std::string install_fixture(const std::string& name) {
    return (testing::install(plugins_, manifest(name), fixture(name)) / (name + ".so")).string();
  }
  [[nodiscard]] const Entry& found(const std::string& name, const Identity& host = host_identity()) {
    catalogs_.push_back(
        std::make_unique<Catalog>(std::vector<SearchFolder>{{plugins_, "--plugin-dir"}}, host));
    return catalogs_.back()->find("modulation", name);
  }
  Error load_error(const std::string& name) {
    Config config = Config::recording();
    return error_of([&] { load<Modulation>(found(name), config); });
  }
  [[nodiscard]] Finished poise(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--plugin-dir", plugins_.string()});
    return poise_in(folder_.path(), arguments);
  }
  /// `poise plugins info` refuses the plugin with `sentence`, and the loader says the same.
  void expect_refused(const std::string& name, const std::string& sentence) {
    const std::string whole = "the modulation '" + name + "' cannot be used: " + sentence;
    const Error error = load_error(name);
    EXPECT_EQ(error.what(), whole);
    EXPECT_EQ(error.fault(), Fault::plugin);
    expect_damaged(name, whole);
  }
  void expect_damaged(const std::string& name, const std::string& sentence) const {
    const Finished text = poise({"plugins", "info", name});
    EXPECT_EQ(text.status, 3);
    EXPECT_EQ(text.err, "");
    EXPECT_NE(text.out.find("\nstate      damaged\n           " + sentence + "\n"), std::string::npos)
        << text.out;
    const Finished json = poise({"plugins", "info", name, "--json"});
    EXPECT_EQ(json.status, 3);
    const auto parsed = nlohmann::json::parse(json.out);
    EXPECT_EQ(parsed.at("state"), "damaged");
    EXPECT_EQ(parsed.at("reasons"), nlohmann::json::array({sentence}));
    EXPECT_TRUE(parsed.at("options").empty());
  }

  testing::TemporaryFolder folder_;
  fs::path plugins_ = folder_.path() / "plugins";
  std::vector<std::unique_ptr<Catalog>> catalogs_;
};

TEST_F(PluginsTest, AGoodPluginIsLoadedWithItsOptions) {
  const std::string library = install_fixture("good_plugin");
  Config config = Config::parse("alpha = 2.0\nnote = 'x'\n[schedule]\nshape = 'cosine'\n");
  const auto loaded = load<Modulation>(found("good_plugin"), config);
  config.finish();
  EXPECT_EQ(loaded.name.name, "good_plugin");
  EXPECT_EQ(loaded.name.version, "1.2.3");
  EXPECT_EQ(loaded.name.file, fs::canonical(library));
  EXPECT_EQ(loaded.call([](Modulation& modulation) { return modulation.requirements(2).subsets_per_step; }),
            12);
}

TEST_F(PluginsTest, ALibraryIsOpenedOnce) {
  install_fixture("good_plugin");
  const PoisePlugin& first = open_plugin(found("good_plugin"));
  EXPECT_EQ(&first, &open_plugin(found("good_plugin")));
  // The same file by another way.
  const fs::path other = folder_.path() / "other";
  fs::create_directory_symlink(plugins_, other);
  EXPECT_EQ(&first, &open_plugin(Catalog({{other, "user"}}).find("modulation", "good_plugin")));
}

TEST_F(PluginsTest, WrongOptionsStayTheUsersFault) {
  install_fixture("good_plugin");
  Config config = Config::parse("alpha = -1.0\nnote = 'x'", "pipeline.toml");
  const Error error = error_of([&] { load<Modulation>(found("good_plugin"), config); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_STREQ(error.what(),
               "pipeline.toml:1:9: alpha is -1, but must be at least 0 (strength of the modulation).");
}

TEST_F(PluginsTest, APluginIsNotCastToAnotherKind) {
  install_fixture("good_plugin");
  Config config = Config::recording();
  EXPECT_STREQ(error_of([&] { load<Encoder>(found("good_plugin"), config); }).what(),
               "the modulation 'good_plugin' cannot be used: it is no encoder.");
}

TEST_F(PluginsTest, AConstructorThatThrows) {
  const std::string library = install_fixture("bad_constructor");
  const std::string sentence = "bad_constructor 1.2.3 (" + library + "): no luck today";
  const Error error = load_error("bad_constructor");
  EXPECT_EQ(error.what(), sentence);
  EXPECT_EQ(error.fault(), Fault::plugin);
  expect_damaged("bad_constructor", sentence);
}

TEST_F(PluginsTest, ALibraryWithoutTheSymbol) {
  const std::string library = install_fixture("bad_symbol");
  expect_refused("bad_symbol",
                 library +
                     " does not export poise_plugin, so it is no plugin of Poise, or its source file "
                     "does not end with a POISE_* line (poise/plugin.h).");
}

TEST_F(PluginsTest, AWrongMagicNumber) {
  const std::string library = install_fixture("bad_magic");
  expect_refused("bad_magic",
                 "poise_plugin in " + library +
                     " does not begin with Poise's magic number; declare the plugin with a POISE_* "
                     "line (poise/plugin.h).");
}

TEST_F(PluginsTest, ADeclarationThatIsTooShort) {
  const std::string library = install_fixture("bad_size");
  expect_refused("bad_size", "poise_plugin in " + library + " has 16 bytes, but this host reads " +
                                 std::to_string(sizeof(PoisePlugin)) +
                                 "; build the plugin again with this SDK.");
}

TEST_F(PluginsTest, AnUndefinedSymbol) {
  const std::string library = install_fixture("bad_undefined");
  expect_refused(
      "bad_undefined",
      library +
          " needs elsewhere::balance(double, int), which neither this host's SDK and LibTorch nor the "
          "libraries that it names have; build it again with poise_add_plugin(), which finds this when it "
          "links, or install another build.");
}

TEST_F(PluginsTest, ATextFileNamedSo) {
  const std::string library = (testing::install(plugins_, manifest("text")) / "text.so").string();
  expect_refused("text", library + " is not a shared library; install the plugin again.");
}

TEST_F(PluginsTest, ALibraryThatIsCutOff) {
  const std::string library = install_fixture("good_plugin");
  for (const std::uintmax_t size : {fs::file_size(library) / 2, std::uintmax_t{1000}, std::uintmax_t{64}}) {
    fs::resize_file(library, size);
    EXPECT_EQ(
        std::string(load_error("good_plugin").what()),
        "the modulation 'good_plugin' cannot be used: " + library + " is cut off; install the plugin again.");
  }
}

TEST_F(PluginsTest, ALibraryThatTheLinkerRefuses) {
  const std::string library = install_fixture("good_plugin");
  std::string bytes = read_file(library);
  bytes[4] = '\1';  // a library of 32 bits
  write_file(library, bytes);
  EXPECT_EQ(std::string(load_error("good_plugin").what()),
            "the modulation 'good_plugin' cannot be used: " + library + " cannot be opened: " + library +
                ": wrong ELF class: ELFCLASS32.");
}

TEST_F(PluginsTest, ASecondLibTorch) {
  // In a process of its own, since what is opened stays.
  const std::string library = install_fixture("bad_torch");
  const Finished finished = poise({"plugins", "info", "bad_torch"});
  EXPECT_EQ(finished.status, 3);
  const std::string start = "the modulation 'bad_torch' cannot be used: " + library +
                            " brings a second LibTorch into the process (";
  EXPECT_NE(finished.out.find(start), std::string::npos) << finished.out;
  EXPECT_NE(finished.out.find(POISE_FIXTURES "/libtorch_cpu-1a2b3c4d.so"), std::string::npos) << finished.out;
}

TEST_F(PluginsTest, AManifestOfAnotherLibraryIsADamagedPackage) {
  auto other = manifest("good_plugin");
  other.version = "1.2.4";
  testing::install(plugins_, other, fixture("good_plugin"));
  expect_refused("good_plugin",
                 "the package is damaged: version is '1.2.3' in good_plugin.so, but '1.2.4' in "
                 "plugin.toml; install the plugin again (" +
                     (plugins_ / "good_plugin").string() + ").");
}

TEST_F(PluginsTest, EveryFieldOfTheManifestIsComparedWithTheLibrary) {
  const auto good = manifest("good_plugin");
  const fs::path folder = testing::install(plugins_, good, fixture("good_plugin"));
  const auto expect_damage = [&](const std::string& field, const Manifest& edited, const Identity& host) {
    write_file(folder / "plugin.toml", testing::toml_text(edited));
    const Error error = error_of([&] { open_plugin(found("good_plugin", host)); });
    EXPECT_NE(std::string(error.what()).find("the package is damaged: " + field + " is '"), std::string::npos)
        << field << ": " << error.what();
  };
  for (const auto member : {&Manifest::version, &Manifest::summary, &Manifest::license}) {
    auto edited = good;
    edited.*member += "x";
    expect_damage(member == &Manifest::version   ? "version"
                  : member == &Manifest::summary ? "summary"
                                                 : "license",
                  edited, host_identity());
  }
  for (const auto& [field, value] : host_identity()) {
    // A host for which the manifest is right.
    auto edited = good;
    edited.built_with = with(good.built_with, field, "7.7");
    expect_damage("built_with." + field, edited, edited.built_with);
  }
  write_file(folder / "plugin.toml", testing::toml_text(good));
  EXPECT_NO_THROW(open_plugin(found("good_plugin")));
}

TEST_F(PluginsTest, APluginOfAnotherLibTorchIsRefusedUnopened) {
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

TEST_F(PluginsTest, ListingOpensNothing) {
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
      std::find_if(json.begin(), json.end(), [](const auto& plugin) { return plugin.at("name") == "other"; });
  ASSERT_NE(listed, json.end());
  EXPECT_EQ(listed->at("state"), "incompatible");
  EXPECT_EQ(listed->at("reasons").size(), 1U);
  EXPECT_EQ(listed->at("folder"), (plugins_ / "other").string());
}

TEST_F(PluginsTest, TheManifestThatTheBuildWritesIsTheLibrarysOwn) {
  const Finished finished = poise({"plugins", "info", "joint"});
  EXPECT_EQ(finished.status, 0) << finished.out << finished.err;
  EXPECT_NE(finished.out.find("\nIt has no options.\n"), std::string::npos) << finished.out;
}

TEST_F(PluginsTest, InfoShowsOptionsAndTheLibrarysHash) {
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

TEST_F(PluginsTest, WrongUseHasStatusTwo) {
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
  EXPECT_EQ(error_text({"plugins"}), "poise: say 'plugins list' or 'plugins info NAME'.");
  EXPECT_EQ(error_text({"plugins", "lst"}), "poise: The following argument was not expected: lst");
  EXPECT_EQ(error_text({}), "poise: a verb is missing. Run with --help for more information.");
  EXPECT_EQ(error_text({"trian"}), "poise: The following argument was not expected: trian");
}

}  // namespace
}  // namespace poise
