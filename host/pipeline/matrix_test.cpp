#include "pipeline/matrix.h"

#include <gtest/gtest.h>

#include <fstream>

#include "pipeline/toml_text.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

class MatrixTest : public ::testing::Test {
 protected:
  Matrix matrix(const std::string& text, const std::vector<std::string>& settings = {}) {
    std::ofstream(file_) << text;
    return Matrix(file_, settings);
  }
  /// A cell a line.
  static std::vector<std::string> cells(const Matrix& matrix) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < matrix.size(); ++i) texts.push_back(toml_text(matrix.cell(i)));
    return texts;
  }
  std::string error_of(const std::string& text, const std::vector<std::string>& settings = {}) {
    try {
      matrix(text, settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      const std::string sentence = error.what();
      const std::string file = file_.string();
      const auto begin = sentence.find(file);
      return begin == std::string::npos ? sentence
                                        : std::string(sentence).replace(begin, file.size(), "FILE");
    }
    return "";
  }

  testing::TemporaryFolder folder_;
  const fs::path file_ = folder_.path() / "p.toml";
};

TEST_F(MatrixTest, IsOneCellWithoutAMatrix) {
  EXPECT_EQ(cells(matrix("seed = 3\n")), (std::vector<std::string>{"{ seed = 3 }"}));
}

TEST_F(MatrixTest, VariesTheFirstAxisSlowestAndSeedFastest) {
  const Matrix m = matrix(
      "[train]\nepochs = 2\n[matrix]\nseed = [0, 1]\ntrain.optimizer.lr = [0.1, 0.2]\nmodulation = [{ plugin "
      "= 'b' }, { plugin = 'a' }]\n");
  EXPECT_EQ(m.axes(0), (std::vector<std::string>{"train.optimizer.lr", "modulation", "seed"}));
  std::vector<std::string> expected;
  for (const std::string lr : {"0.1", "0.2"}) {
    for (const std::string plugin : {"b", "a"}) {
      for (const std::string seed : {"0", "1"}) {
        expected.push_back("{ modulation = { plugin = \"" + plugin + "\" }, seed = " + seed +
                           ", train = { epochs = 2, optimizer = { lr = " + lr + " } } }");
      }
    }
  }
  EXPECT_EQ(cells(m), expected);
}

TEST_F(MatrixTest, KeepsThePlaceOfEveryValue) {
  const toml::table cell =
      matrix("[train]\nepochs = 2\n[matrix]\nmodulation = [{ plugin = 'a' }, { plugin = 'b' }]\n").cell(1);
  EXPECT_EQ(where(*toml::at_path(cell, "modulation.plugin").node()), file_.string() + ":4:44");
  EXPECT_EQ(where(*toml::at_path(cell, "train.epochs").node()), file_.string() + ":2:10");
}

TEST_F(MatrixTest, TakesAnAxisInQuotesAndReplacesTheBase) {
  EXPECT_EQ(cells(matrix(
                "modulation = { plugin = 'x', alpha = 1 }\n[matrix]\n'train.epochs' = [1, 2]\nmodulation = "
                "[{ plugin = 'y' }]\n")),
            (std::vector<std::string>{"{ modulation = { plugin = \"y\" }, train = { epochs = 1 } }",
                                      "{ modulation = { plugin = \"y\" }, train = { epochs = 2 } }"}));
}

TEST_F(MatrixTest, PutsATableBeforeAnOptionInsideIt) {
  EXPECT_EQ(cells(matrix("[matrix]\n'modulation.alpha' = [1, 2]\nmodulation = [{ plugin = 'y' }]\n")),
            (std::vector<std::string>{"{ modulation = { alpha = 1, plugin = \"y\" } }",
                                      "{ modulation = { alpha = 2, plugin = \"y\" } }"}));
}

TEST_F(MatrixTest, DropsWhatExcludeNames) {
  const std::string axes =
      "[matrix]\nfusion = [{ plugin = 'concat' }, { plugin = 'maxout' }]\n"
      "modulation = [{ plugin = 'agm', alpha = 1.0 }, { plugin = 'ogm_ge' }]\n";
  EXPECT_EQ(cells(matrix(axes + "exclude = [{ modulation = 'ogm_ge', fusion = 'maxout' }]\n")),
            (std::vector<std::string>{
                "{ fusion = { plugin = \"concat\" }, modulation = { alpha = 1, plugin = \"agm\" } }",
                "{ fusion = { plugin = \"concat\" }, modulation = { plugin = \"ogm_ge\" } }",
                "{ fusion = { plugin = \"maxout\" }, modulation = { alpha = 1, plugin = \"agm\" } }"}));
  EXPECT_EQ(matrix(axes + "exclude = [{ modulation = { alpha = 1 } }]\n").size(), 2U);
  EXPECT_EQ(matrix(axes + "exclude = [{ modulation = { plugin = 'agm', alpha = 2 } }]\n").size(), 4U);
  EXPECT_EQ(matrix("[matrix]\ntrain.epochs = [1, 2, 3]\nexclude = [{ train.epochs = 2 }]\n").size(), 2U);
}

TEST_F(MatrixTest, AListOfMatricesGivesTheCellsOfEachInTurn) {
  const std::string text =
      "seed = 3\n[[matrix]]\nmodulation = [{ plugin = 'a' }, { plugin = 'b' }]\nseed = [0, 1]\n"
      "exclude = [{ modulation = 'b', seed = 1 }]\n[[matrix]]\ntrain.clip = [5]\n";
  const Matrix m = matrix(text);
  EXPECT_EQ(cells(m), (std::vector<std::string>{"{ modulation = { plugin = \"a\" }, seed = 0 }",
                                                "{ modulation = { plugin = \"a\" }, seed = 1 }",
                                                "{ modulation = { plugin = \"b\" }, seed = 0 }",
                                                "{ seed = 3, train = { clip = 5 } }"}));
  EXPECT_EQ(m.axes(0), (std::vector<std::string>{"modulation", "seed"}));
  EXPECT_EQ(m.axes(3), (std::vector<std::string>{"train.clip"}));
  EXPECT_EQ(where(*toml::at_path(m.cell(3), "train.clip").node()), file_.string() + ":7:15");
  EXPECT_EQ(
      error_of(text, {"train.clip=1"}),
      "--set train.clip=1: [matrix] varies train.clip (FILE:7:14), so change its values there, or with --set "
      "matrix.train.clip=[...].");
  EXPECT_EQ(cells(matrix(text, {"matrix.seed=[7]"})),
            (std::vector<std::string>{"{ modulation = { plugin = \"a\" }, seed = 7 }",
                                      "{ modulation = { plugin = \"b\" }, seed = 7 }",
                                      "{ seed = 7, train = { clip = 5 } }"}))
      << "a setting of the matrix is one of each";
}

TEST_F(MatrixTest, SettingsMayChangeTheMatrixButNotWhatItVaries) {
  const std::string text = "[matrix]\nmodulation = [{ plugin = 'a' }]\nseed = [0, 1]\n";
  EXPECT_EQ(
      cells(matrix(text, {"matrix.seed=[7]", "train.epochs=1"})),
      (std::vector<std::string>{"{ modulation = { plugin = \"a\" }, seed = 7, train = { epochs = 1 } }"}));
  EXPECT_EQ(error_of(text, {"seed=3"}),
            "--set seed=3: [matrix] varies seed (FILE:3:8), so change its values there, or with --set "
            "matrix.seed=[...].");
  EXPECT_EQ(
      error_of(text, {"modulation.alpha=1.5"}),
      "--set modulation.alpha=1.5: [matrix] varies modulation (FILE:2:14), so change its values there, or "
      "with --set matrix.modulation=[...].");
}

TEST_F(MatrixTest, NamesWhatIsWrong) {
  EXPECT_EQ(error_of("matrix = 1\n"), "FILE:1:10: matrix must be a table, or a list of tables.");
  EXPECT_EQ(error_of("matrix = [1]\n"), "FILE:1:10: matrix must be a table, or a list of tables.");
  EXPECT_EQ(error_of("matrix = []\n"), "FILE:1:10: matrix must be a table, or a list of tables.");
  EXPECT_EQ(error_of("[matrix]\nseed = 1\n"), "FILE:2:8: matrix.seed must be a list of at least one value.");
  EXPECT_EQ(error_of("[matrix]\nseed = []\n"), "FILE:2:8: matrix.seed must be a list of at least one value.");
  EXPECT_EQ(error_of("[matrix]\nmodulaton = [1]\n"),
            "FILE:2:1: [matrix] cannot vary modulaton; did you mean 'modulation'?");
  EXPECT_EQ(error_of("[matrix]\nseed = [0]\nexclude = [{ sed = 0 }]\n"),
            "FILE:3:14: exclude names sed, which [matrix] does not vary; did you mean 'seed'?");
  EXPECT_EQ(error_of("[matrix]\nseed = [0]\nexclude = ['seed']\n"),
            "FILE:3:12: matrix.exclude must be a list of tables, as in [{ modulation = \"ogm_ge\" }].");
  EXPECT_EQ(error_of("[matrix]\nseed = [0]\nexclude = [{ seed = 0 }]\n"),
            "FILE:1:1: exclude drops every run of [matrix].");
}

}  // namespace
}  // namespace poise
