#include "plugins/manifest.h"

#include <string>

#include <gtest/gtest.h>

#include "plugins/test_plugins.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

class ManifestTest : public ::testing::Test {
 protected:
  /// The sentence with which the manifest `text` of a plugin `agm` is refused.
  std::string refusal(const std::string& text) {
    const auto folder = folder_.path() / "agm";
    std::filesystem::create_directories(folder);
    write_file(folder / "plugin.toml", text);
    const Error error = error_of([&] { read_manifest(folder); });
    EXPECT_EQ(error.fault(), Fault::plugin);
    return error.what();
  }
  [[nodiscard]] std::string file() const { return (folder_.path() / "agm" / "plugin.toml").string(); }

  TemporaryFolder folder_;
  const std::string good_ = testing::toml_text(testing::manifest("agm"));
};

TEST_F(ManifestTest, HoldsWhatTheFileSaysInItsOrder) {
  auto written = testing::manifest("agm");
  written.built_with = {{"zeta", "1"}, {"alpha", "2"}};
  const auto folder = testing::install(folder_.path(), written);
  const Manifest read = read_manifest(folder);
  EXPECT_EQ(read.name, "agm");
  EXPECT_EQ(read.kind, "modulation");
  EXPECT_EQ(read.version, "1.2.3");
  EXPECT_EQ(read.summary, "a plugin of the tests");
  EXPECT_EQ(read.license, "Apache-2.0");
  EXPECT_EQ(read.interface, "poise.modulation/1");
  EXPECT_EQ(read.built_with, written.built_with);
  EXPECT_EQ(read.folder, folder);
  EXPECT_EQ(read.library(), folder / "agm.so");
}

TEST_F(ManifestTest, ShowsFieldsOfOtherVersionsAsText) {
  const auto folder = testing::install(folder_.path(), testing::manifest("agm"));
  write_file(folder / "plugin.toml", good_ + "cuda = 13\nfuture = [1, 2]\n[unknown]\nkey = true\n");
  const Manifest manifest = read_manifest(folder);
  ASSERT_NE(value_of(manifest.built_with, "cuda"), nullptr);
  EXPECT_EQ(*value_of(manifest.built_with, "cuda"), "13");
  EXPECT_EQ(*value_of(manifest.built_with, "future"), "[ 1, 2 ]");
  EXPECT_EQ(value_of(manifest.built_with, "nothing"), nullptr);
}

TEST_F(ManifestTest, NamesThePlaceOfASyntaxError) {
  const std::string text = refusal("name = 'agm'\nkind = \n");
  EXPECT_TRUE(text.starts_with(file() + ":2:8: ")) << text;
}

TEST_F(ManifestTest, NamesWhatIsMissing) {
  EXPECT_EQ(refusal(""), file() + ": name is missing.");
  for (const std::string key : {"kind", "version", "summary", "license", "interface"}) {
    std::string text = good_;
    text.replace(text.find("\n" + key + " = "), 1, "\nx");
    EXPECT_EQ(refusal(text), file() + ": " + key + " is missing.");
  }
  EXPECT_EQ(refusal(good_.substr(0, good_.find("[built_with]"))),
            file() + ": the table [built_with] is missing.");
}

TEST_F(ManifestTest, RefusesAWrongTypeWithItsPlace) {
  std::string text = good_;
  text.replace(text.find("'1.2.3'"), 7, "1.2");
  EXPECT_EQ(refusal(text), file() + ":3:11: version must be a text in quotes.");
}

TEST_F(ManifestTest, RefusesANameThatLeadsElsewhere) {
  EXPECT_EQ(refusal("name = '../agm'" + good_.substr(12)),
            file() + ":1:8: the name '../agm' may hold letters, digits, '_' and '-' only.");
  EXPECT_EQ(refusal("name = \"a\\u001b[2Jb\"" + good_.substr(12)),
            file() + ":1:8: the name 'a\\x1b[2Jb' may hold letters, digits, '_' and '-' only.");
  EXPECT_EQ(refusal("name = 'ogm'" + good_.substr(12)),
            file() + ":1:8: the folder of the plugin 'ogm' must bear its name.");
}

TEST_F(ManifestTest, RefusesWhatIsNoManifest) {
  EXPECT_EQ(refusal(std::string(70000, '#')), file() + " is too large for a manifest.");
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_STREQ(error_of([&] { read_manifest(folder_.path() / "agm"); }).what(),
               (file() + " is not a file.").c_str());
}

TEST(EscapedTest, KeepsTextAndShowsWhatActsOnATerminal) {
  EXPECT_EQ(escaped("Balance: \"50 %\" ~ Ωμέγα 数字 😀"), "Balance: \"50 %\" ~ Ωμέγα 数字 😀");
  EXPECT_EQ(escaped("a\x1b[31m\n\x7f"), "a\\x1b[31m\\x0a\\x7f");
  EXPECT_EQ(escaped(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "2J"),
            "\\xc2\\x9b2J");  // U+009B, a control sequence
  EXPECT_EQ(escaped("\xe2\x80\xae"
                    "gm"),
            "\\xe2\\x80\\xaegm");                         // U+202E, right to left
  EXPECT_EQ(escaped("\xe2\x80\x93"), "\xe2\x80\x93");     // an en dash
  EXPECT_EQ(escaped("\xff\xe2\x80"), "\\xff\\xe2\\x80");  // not UTF-8, cut off
  EXPECT_EQ(escaped(escaped("\x1b")), escaped("\x1b"));
}

}  // namespace
}  // namespace poise
