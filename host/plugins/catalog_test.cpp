#include "plugins/catalog.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "plugins/test_plugins.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::install;
using testing::manifest;
using testing::TemporaryFolder;
using testing::with;

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() {
    fs::create_directories(near_);
    fs::create_directories(far_);
  }
  /// Both folders, and one that is not there.
  [[nodiscard]] Catalog catalog() const {
    return Catalog({{near_, "--plugin-dir"}, {nowhere_, "user"}, {far_, "built in"}});
  }
  [[nodiscard]] std::string searched() const {
    return "\n  searched: " + near_.string() + " (--plugin-dir)\n  searched: " + nowhere_.string() +
           " (user, does not exist)\n  searched: " + far_.string() + " (built in)";
  }

  TemporaryFolder folder_;
  fs::path near_ = folder_.path() / "near";
  fs::path far_ = folder_.path() / "far";
  fs::path nowhere_ = folder_.path() / "nowhere";
};

TEST_F(CatalogTest, FindsFoldersWithAManifestOneLevelDeep) {
  install(far_, manifest("agm"));
  install(far_ / "nested", manifest("joint"));
  fs::create_directory(far_ / "empty");
  write_file(far_ / "plugin.toml", "");
  const Catalog found = catalog();
  ASSERT_EQ(found.entries().size(), 1U);
  const Entry& entry = found.find("modulation", "agm");
  EXPECT_EQ(entry.manifest.folder, far_ / "agm");
  EXPECT_EQ(entry.origin, "built in");
  EXPECT_EQ(entry.state, PluginState::ok);
  EXPECT_TRUE(entry.reasons.empty());
}

TEST_F(CatalogTest, TheFirstFolderWinsAndTheOtherIsListedAsHidden) {
  install(far_, manifest("agm"));
  install(near_, manifest("agm"));
  install(far_, manifest("joint"));
  const Catalog found = catalog();
  ASSERT_EQ(found.entries().size(), 3U);
  EXPECT_EQ(found.find("modulation", "agm").manifest.folder, near_ / "agm");
  EXPECT_EQ(found.find("modulation", "joint").manifest.folder, far_ / "joint");
  EXPECT_EQ(found.entries()[1].state, PluginState::hidden);
  EXPECT_EQ(found.entries()[1].reasons, std::vector<std::string>{"It is hidden by the modulation 'agm' (" +
                                                                 (near_ / "agm").string() + ")."});
}

TEST_F(CatalogTest, AFolderNamedTwiceIsOneFolder) {
  install(near_, manifest("agm"));
  EXPECT_EQ(Catalog({{near_, "--plugin-dir"}, {near_, "POISE_PLUGIN_PATH"}}).entries().size(), 1U);
}

TEST_F(CatalogTest, TheFirstFolderWinsAlsoWhenWhatItHasCannotBeUsed) {
  install(far_, manifest("agm"));
  auto other = manifest("agm");
  other.built_with = with(with(other.built_with, "torch", "2.10.0"), "torch_variant", "cpu");
  install(near_, other);
  const Error error = error_of([&] { (void)catalog().find("modulation", "agm"); });
  EXPECT_EQ(error.fault(), Fault::plugin);
  const std::string start = "the modulation 'agm' (" + (near_ / "agm").string() + ") cannot be used:\n";
  std::string expected = start;
  for (const auto& reason : mismatches(other, host_identity())) {
    expected += (expected == start ? "  " : "\n  ") + reason;
  }
  EXPECT_EQ(error.what(), expected);
}

TEST_F(CatalogTest, ADamagedManifestIsKeptWithItsReason) {
  write_file(install(near_, manifest("agm")) / "plugin.toml", "name = ");
  const Catalog found = catalog();
  ASSERT_EQ(found.entries().size(), 1U);
  EXPECT_EQ(found.entries()[0].manifest.name, "agm");
  EXPECT_EQ(found.entries()[0].state, PluginState::damaged);
  const Error error = error_of([&] { (void)found.find("modulation", "agm"); });
  EXPECT_EQ(error.fault(), Fault::plugin);
  EXPECT_EQ(error.what(), "the plugin 'agm' (" + (near_ / "agm").string() +
                              ") cannot be used: " + found.entries()[0].reasons.at(0));
}

TEST_F(CatalogTest, AMissingLibraryIsNoticed) {
  fs::remove(install(near_, manifest("agm")) / "agm.so");
  EXPECT_EQ(error_of([&] { (void)catalog().find("modulation", "agm"); }).what(),
            "the modulation 'agm' (" + (near_ / "agm").string() + ") cannot be used: Its library " +
                (near_ / "agm/agm.so").string() + " is missing; install the plugin again.");
}

TEST_F(CatalogTest, AnUnknownNameListsNearNamesOfItsKindAndTheFolders) {
  install(far_, manifest("agm"));
  install(far_, manifest("agn", "fusion"));
  const Error error = error_of([&] { (void)catalog().find("modulation", "agd"); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_EQ(error.what(), "unknown modulation 'agd'; did you mean 'agm'?" + searched());
  EXPECT_EQ(error_of([&] { (void)catalog().find("modulation", "x\x1b"); }).what(),
            "unknown modulation 'x\\x1b'." + searched());
  EXPECT_EQ(error_of([&] { (void)catalog().find("agb"); }).what(),
            "unknown plugin 'agb'; did you mean 'agm' or 'agn'?" + searched());
}

TEST_F(CatalogTest, AnUnknownNameListsWhatCannotBeUsed) {
  write_file(install(near_, manifest("broken")) / "plugin.toml", "");
  EXPECT_EQ(error_of([&] { (void)catalog().find("fusion", "concat"); }).what(),
            "unknown fusion 'concat'." + searched() + "\n  cannot be used: " + (near_ / "broken").string() +
                ": " + (near_ / "broken/plugin.toml").string() + ": name is missing.");
}

TEST_F(CatalogTest, APluginOfAnotherKindSaysSo) {
  install(far_, manifest("concat", "fusion"));
  install(far_, manifest("concas", "encoder"));
  const Error error = error_of([&] { (void)catalog().find("encoder", "concat"); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_EQ(error.what(), "the plugin 'concat' (" + (far_ / "concat").string() +
                              ") is of the kind fusion, not encoder; did you mean 'concas'?" + searched());
  EXPECT_EQ(catalog().find("concat").manifest.kind, "fusion");
}

TEST(SearchFoldersTest, StandInTheirOrder) {
  ::setenv("POISE_PLUGIN_PATH", "/environment::relative/../second", 1);
  ::setenv("XDG_DATA_HOME", "/data", 1);
  const auto folders = search_folders({"line"}, {"/pipeline"});
  std::vector<std::string> found;
  found.reserve(folders.size());
  for (const auto& folder : folders) found.push_back(folder.origin + " " + folder.path.string());
  const fs::path here = fs::current_path();
  const fs::path prefix = fs::canonical("/proc/self/exe").parent_path().parent_path();
  EXPECT_EQ(found, (std::vector<std::string>{
                       "--plugin-dir " + (here / "line").string(), "plugin_path /pipeline",
                       "POISE_PLUGIN_PATH /environment", "POISE_PLUGIN_PATH " + (here / "second").string(),
                       "user /data/poise/plugins", "built in " + (prefix / "lib/poise/plugins").string()}));
}

TEST(SearchFoldersTest, WithoutXdgDataHomeTheUsersFolderIsBelowHome) {
  ::unsetenv("POISE_PLUGIN_PATH");
  ::setenv("XDG_DATA_HOME", "", 1);
  ::setenv("HOME", "/home/someone", 1);
  const auto folders = search_folders();
  ASSERT_EQ(folders.size(), 2U);
  EXPECT_EQ(folders[0].path, "/home/someone/.local/share/poise/plugins");
  EXPECT_EQ(folders[1].origin, "built in");
}

}  // namespace
}  // namespace poise
