#include "pipeline/document.h"

#include <gtest/gtest.h>

#include <fstream>

#include "pipeline/toml_text.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// A folder of its own for each test, and its files.
class DocumentTest : public ::testing::Test {
 protected:
  DocumentTest() { fs::create_directories(folder_ / "sub"); }

  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::string at(const std::string& place) { return (folder_ / place).string(); }

  std::string error_of(const fs::path& file, const std::vector<std::string>& settings = {}) {
    try {
      read_document(file, settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      return error.what();
    }
    return "";
  }

  testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(DocumentTest, MergesIncludedFilesBelowTheFileAndKeepsEveryPlace) {
  write("base.toml", "title = 'base'\n[train]\nepochs = 3\noptimizer = { lr = 0.1, momentum = 0.9 }\n");
  write("sub/more.toml", "[train]\nbatch_size = 8\n");
  const auto file = write(
      "a.toml", "include = ['base.toml', 'sub/more.toml']\n[train]\nepochs = 5\noptimizer = { lr = 0.2 }\n");
  const Document document = read_document(file);
  EXPECT_EQ(toml_file(document.table),
            "title = \"base\"\n\n[train]\nbatch_size = 8\nepochs = 5\n\n"
            "[train.optimizer]\nlr = 0.2\nmomentum = 0.9\n");
  EXPECT_EQ(where(*document.table.get("title")), at("base.toml:1:9"));
  EXPECT_EQ(where(*document.table.at_path("train.epochs").node()), at("a.toml:3:10"));
  EXPECT_EQ(where(*document.table.at_path("train.batch_size").node()), at("sub/more.toml:2:14"));
  EXPECT_EQ(where(*document.table.at_path("train.optimizer.momentum").node()), at("base.toml:4:36"));
  EXPECT_EQ(document.sources, (std::vector<std::string>{at("base.toml"), at("sub/more.toml"), at("a.toml")}));
}

TEST_F(DocumentTest, IncludesRelativeToTheFileThatNamesThem) {
  write("sub/inner.toml", "seed = 7\n");
  write("sub/outer.toml", "include = ['inner.toml']\n");
  const auto file = write("a.toml", "include = ['sub/outer.toml']\n");
  EXPECT_EQ(toml_file(read_document(file).table), "seed = 7\n");
}

TEST_F(DocumentTest, RefusesACircle) {
  const auto a = write("a.toml", "include = ['b.toml']\n");
  write("b.toml", "title = 'b'\ninclude = ['a.toml']\n");
  EXPECT_EQ(error_of(a),
            at("b.toml:2:12") + ": include goes in a circle: " + a.string() + " is already being read.");
}

TEST_F(DocumentTest, NamesWhatIsWrongWithAnInclude) {
  EXPECT_EQ(error_of(write("a.toml", "include = ['none.toml']\n")),
            at("a.toml:1:12") + ": there is no file " + at("none.toml") + ".");
  EXPECT_EQ(error_of(write("b.toml", "include = 'base.toml'\n")),
            at("b.toml:1:11") + ": include must be a list of files.");
  EXPECT_EQ(error_of(write("c.toml", "include = [1]\n")),
            at("c.toml:1:12") + ": include must be a list of files.");
}

TEST_F(DocumentTest, NamesTheFileThatIsMissingOrNoToml) {
  EXPECT_EQ(error_of(folder_ / "none.toml"),
            "cannot read " + at("none.toml") + ": No such file or directory");
  EXPECT_EQ(error_of(write("a.toml", "[train]\nepochs = = 3\n")),
            at("a.toml:2:10") + ": Error while parsing value: could not determine value type.");
}

TEST_F(DocumentTest, SettingsWinAndNameThemselves) {
  const auto file = write("a.toml", "[train]\nepochs = 5\nbatch_size = 8\n");
  const Document document = read_document(
      file, {"train.epochs=2", "fusion.plugin=maxout", "dataset.root=/data/x.y", "matrix.seed=[0, 1]"});
  EXPECT_EQ(toml_file(document.table),
            "[dataset]\nroot = \"/data/x.y\"\n\n[fusion]\nplugin = \"maxout\"\n\n[matrix]\nseed = [0, 1]\n\n"
            "[train]\nbatch_size = 8\nepochs = 2\n");
  EXPECT_EQ(where(*document.table.at_path("train.epochs").node()), "--set train.epochs=2");
  EXPECT_EQ(where(*document.table.at_path("fusion.plugin").node()), "--set fusion.plugin=maxout");
}

TEST_F(DocumentTest, RefusesASettingThatIsNone) {
  const auto file = write("a.toml", "");
  const std::string form = ": must read KEY=VALUE on one line, as in train.epochs=2.";
  EXPECT_EQ(error_of(file, {"train.epochs"}), "--set train.epochs" + form);
  EXPECT_EQ(error_of(file, {"train.epochs="}), "--set train.epochs=" + form);
  EXPECT_EQ(error_of(file, {"a=1\nb=2"}), "--set a=1\nb=2" + form);
  EXPECT_TRUE(error_of(file, {"seed=[0, 1"}).starts_with("--set seed=[0, 1: Error while parsing array"))
      << error_of(file, {"seed=[0, 1"});
  EXPECT_TRUE(error_of(file, {"a b=2"}).starts_with("--set a b=2: Error while parsing key"))
      << error_of(file, {"a b=2"});
}

TEST(TomlText, IsTheSameForTheSameValue) {
  const auto table =
      toml::parse("b = 1.0\na = 0.1\nc = [1e-8, inf, 'x\"y']\n'd e' = { z = true, y = 1979-05-27 }\n");
  EXPECT_EQ(toml_text(table),
            "{ a = 0.1, b = 1, c = [1e-08, inf, \"x\\\"y\"], \"d e\" = { y = 1979-05-27, z = true } }");
  EXPECT_EQ(toml_file(table),
            "a = 0.1\nb = 1\nc = [1e-08, inf, \"x\\\"y\"]\n\n[\"d e\"]\ny = 1979-05-27\nz = true\n");
  EXPECT_EQ(toml_file(toml::parse(toml_file(table))), toml_file(table));
}

}  // namespace
}  // namespace poise
