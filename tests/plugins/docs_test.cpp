// `poise plugins docs`: pages made from what plugins say of themselves.
#include <string>

#include "plugins/reference.h"
#include "plugins_fixture.h"

namespace poise {
namespace {

using testing::manifest;
using testing::with;

class DocsTest : public testing::PluginsTest {
 protected:
  [[nodiscard]] std::string made(const std::string& file) const {
    return content(folder_.path() / "pages" / file);
  }
  /// The file of the pages has this text in it.
  void expect_in(const std::string& file, const std::string& text) const {
    EXPECT_NE(made(file).find(text), std::string::npos) << text << "\nis not in\n" << made(file);
  }
  [[nodiscard]] Finished docs() const { return poise({"plugins", "docs", "--output", "pages"}); }
};

TEST_F(DocsTest, APageHasWhatThePluginDeclares) {
  install_fixture("good_plugin");
  const Finished finished = docs();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_TRUE(finished.out.starts_with("Wrote pages/index.md and beside it the pages of ")) << finished.out;
  const std::string file = "modulation/good_plugin.md";
  EXPECT_TRUE(made(file).starts_with("# good_plugin\na plugin of the tests.\n")) << made(file);
  expect_in(file,
            "| `alpha` | number | `1.5` | at least 0 | strength of the modulation |\n"
            "| `window` | integer | `10` | from 1 to 100 | epochs in which it acts |\n"
            "| `note` | text | required |  | what the log says |\n"
            "| `schedule.shape` | text | `\"flat\"` | one of \"flat\", \"cosine\" | how alpha changes |\n");
  expect_in(file, "- Modalities: 1 or more.\n");
  // 1.5 without its fraction and 10 subsets, whatever the number of modalities.
  expect_in(file, "| 2 | 11 | 1 |\n| 3 | 11 | 1 |\n");
  expect_in(file, "It declares no options that make it joint training.\n");
  expect_in(file, "[its folder](<../../plugins/good_plugin>)");
  expect_in("index.md",
            "| [good_plugin](modulation/good_plugin.md) | modulation | a plugin of the tests |\n");
}

TEST_F(DocsTest, APageLinksTheReadmeBesideThePlugin) {
  install_fixture("good_plugin");
  write_file(plugins_ / "good_plugin/README.md", "# good_plugin\n");
  ASSERT_EQ(docs().status, 0);
  expect_in("modulation/good_plugin.md", "[its README](<../../plugins/good_plugin/README.md>)");
}

TEST_F(DocsTest, ALibraryThatIsNotItsManifestsHasNoPage) {
  testing::install(plugins_, manifest("impostor"), testing::fixture("good_plugin"));
  ASSERT_EQ(docs().status, 0);
  EXPECT_EQ(made("modulation/impostor.md"), "");
  expect_in("index.md",
            "\n## Cannot be used here\n- `impostor` (" + (plugins_ / "impostor").string() + "): ");
  expect_in("index.md", "name is 'good_plugin' in impostor.so, but 'impostor' in plugin.toml");
}

TEST_F(DocsTest, TextOfAPluginDoesNotBreakATable) {
  Details details;
  details.entry.manifest = manifest("piped");
  details.entry.manifest.folder = plugins_ / "piped";
  details.entry.manifest.summary = "a | b\x1b[2J";
  details.options = {{"key", "text", "\"x|y\"", false, "", "either|or"}};
  write_reference({details}, folder_.path() / "pages");
  expect_in("modulation/piped.md", "| `key` | text | `\"x\\|y\"` |  | either\\|or |\n");
  expect_in("index.md", "| [piped](modulation/piped.md) | modulation | a \\| b\\x1b[2J |\n");
}

TEST_F(DocsTest, NamesWhatCannotBeUsed) {
  auto other = manifest("bad_when_opened");
  other.built_with = with(other.built_with, "torch", "2.10.0");
  testing::install(plugins_, other, testing::fixture("bad_when_opened"));
  const Finished finished = docs();
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_TRUE(finished.out.ends_with("It names 1 that cannot be used here, and why.\n")) << finished.out;
  EXPECT_EQ(made("modulation/bad_when_opened.md"), "");
  expect_in("index.md", "- `bad_when_opened` (" + (plugins_ / "bad_when_opened").string() +
                            "): It was built for LibTorch 2.10.0, but this host has LibTorch 2.11.0");
}

TEST_F(DocsTest, SaysWhatAFusionCanDoAndWhatAModulationNeeds) {
  ASSERT_EQ(docs().status, 0);
  expect_in("fusion/concat.md", "- It is additive: the logits are a sum of one share per modality.\n");
  expect_in("modulation/joint.md", "## Options\nIt has none.\n");
  expect_in("modulation/joint.md", "Its gradients are joint training's, bit for bit.\n");
  expect_in("modulation/agm.md", "- Modalities: 2 or more.\n");
  // Every non-empty subset.
  expect_in("modulation/agm.md", "| 2 | 3 | 1 |\n| 3 | 7 | 1 |\n");
  expect_in("modulation/agm.md",
            "With `alpha = 0.0`, `clip = 0.0` its gradients are joint training's, bit for bit.\n");
  expect_in("modulation/ogm_ge.md", "- Modalities: 2.\n- An additive fusion.\n");
  expect_in("modulation/ogm_ge.md", "| 2 | 1 | 1 |\n| 3 | refused | |\n");
  EXPECT_EQ(made("modulation/ogm_ge.md").find("It visits data outside"), std::string::npos);
  expect_in("modulation/dgl.md", "- A fusion that does not act inside the encoders.\n");
  expect_in("modulation/pmr.md", "- Targets that are classes.\n");
  expect_in("modulation/pmr.md", "\nIt visits data outside the training steps, too;");
}

TEST_F(DocsTest, SaysWhichFolderCannotBeMade) {
  write_file(folder_.path() / "pages", "in the way");
  const Finished finished = docs();
  EXPECT_EQ(finished.status, 1);
  EXPECT_EQ(finished.out, "");
  EXPECT_TRUE(finished.err.starts_with("poise: the folder pages cannot be made: ")) << finished.err;
}

}  // namespace
}  // namespace poise
