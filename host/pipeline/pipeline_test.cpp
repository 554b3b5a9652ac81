#include "pipeline/pipeline.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "pipeline/check.h"
#include "pipeline/toml_text.h"
#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

const std::string encoders = "[encoder]\naudio.plugin = 'lenet'\nimage.plugin = 'lenet'\n";
const std::string base = "[dataset]\nplugin = 'av_digits'\n" + encoders + "[fusion]\nplugin = 'concat'\n";

/// Reads pipelines with the plugins of the build tree.
class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() {
    ::setenv("XDG_DATA_HOME", folder_.c_str(), 1);  // the user's own plugins play no part
    ::unsetenv("POISE_PLUGIN_PATH");
  }

  Pipeline read(const std::string& text, const std::vector<std::string>& settings = {}) {
    std::ofstream(file_) << text;
    return read_pipeline(file_, settings, {});
  }
  std::vector<std::string> labels(const std::string& text) {
    std::vector<std::string> labels;
    for (const auto& cell : read(text).cells) labels.push_back(cell.label.run);
    return labels;
  }
  /// The sentence, with FILE for the file.
  std::string error_of(const std::string& text, const std::vector<std::string>& settings = {}) {
    try {
      read(text, settings);
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      std::string sentence = error.what();
      const auto begin = sentence.find(file_.string());
      return begin == std::string::npos ? sentence : sentence.replace(begin, file_.string().size(), "FILE");
    }
    return "";
  }

  testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  const fs::path file_ = folder_ / "p.toml";
};

TEST_F(PipelineTest, MakesOneRunAndEachModalityAlone) {
  const Pipeline pipeline = read(base + "[train]\nepochs = 3\n");
  EXPECT_EQ(pipeline.title, "p");
  ASSERT_EQ(pipeline.cells.size(), 3U);

  const Cell& joint = pipeline.cells[0];
  EXPECT_EQ(joint.label.run, "joint seed=0");
  EXPECT_EQ(joint.label.group, "joint");
  EXPECT_EQ(joint.alone, "");
  EXPECT_EQ(joint.modalities, (std::vector<std::string>{"audio", "image"}));
  EXPECT_EQ(joint.plugins.modalities, (std::vector<int>{0, 1}));
  EXPECT_EQ(joint.plugins.encoders.size(), 2U);
  EXPECT_EQ(joint.plugins.modulation.name.name, "joint");
  EXPECT_EQ(joint.train.epochs, 3);
  EXPECT_EQ(joint.seed, 0U);

  const Cell& image = pipeline.cells[2];
  EXPECT_EQ(image.label.run, "image alone seed=0");
  EXPECT_EQ(image.alone, "image");
  EXPECT_EQ(image.plugins.modalities, (std::vector<int>{1}));
  EXPECT_EQ(
      toml_text(image.config),
      "{ dataset = { modalities = [\"image\"], plugin = \"av_digits\" }, encoder = { image = { plugin = "
      "\"lenet\" } }, fusion = { plugin = \"concat\" }, modulation = { plugin = \"joint\" }, seed = 0, train "
      "= { epochs = 3 } }");
}

TEST_F(PipelineTest, TrainsEachModalityAloneOnceForEverySeed) {
  const std::string matrix =
      "[matrix]\nfusion = [{ plugin = 'concat' }, { plugin = 'maxout' }]\n"
      "modulation = [{ plugin = 'joint' }, { plugin = 'agm', alpha = 1.5 }]\nseed = [0, 4]\n"
      "exclude = [{ modulation = 'agm', fusion = 'maxout' }]\n";
  const std::vector<std::string> expected = {"joint concat seed=0",         "joint concat seed=4",
                                             "agm alpha=1.5 concat seed=0", "agm alpha=1.5 concat seed=4",
                                             "joint maxout seed=0",         "joint maxout seed=4",
                                             "audio alone seed=0",          "image alone seed=0",
                                             "audio alone seed=4",          "image alone seed=4"};
  EXPECT_EQ(labels(base + matrix), expected);
  EXPECT_EQ(labels(base + matrix + "[analysis]\nalone = false\n"),
            std::vector<std::string>(expected.begin(), expected.begin() + 6));
  EXPECT_EQ(read(base + matrix).cells[9].plugins.fusion.name.name, "concat");
}

TEST_F(PipelineTest, TrainsAModalityAloneOnceForAllMatrices) {
  EXPECT_EQ(labels(base + "[[matrix]]\nmodulation = [{ plugin = 'joint' }, { plugin = 'agm' }]\n"
                          "[[matrix]]\nfusion = [{ plugin = 'maxout' }]\n"),
            (std::vector<std::string>{"joint seed=0", "agm seed=0", "joint maxout seed=0",
                                      "audio alone seed=0", "image alone seed=0"}));
}

TEST_F(PipelineTest, TrainsModalitiesAloneForOtherAxesToo) {
  EXPECT_EQ(labels(base + "[matrix]\ntrain.optimizer.lr = [0.1, 0.2]\n"),
            (std::vector<std::string>{"joint lr=0.1 seed=0", "joint lr=0.2 seed=0",
                                      "audio alone lr=0.1 seed=0", "image alone lr=0.1 seed=0",
                                      "audio alone lr=0.2 seed=0", "image alone lr=0.2 seed=0"}));
}

TEST_F(PipelineTest, UsesTheModalitiesThatAreAskedForInTheirOrder) {
  const Pipeline two = read(base, {"dataset.modalities=['image', 'audio']"});
  EXPECT_EQ(two.cells[0].modalities, (std::vector<std::string>{"image", "audio"}));
  EXPECT_EQ(two.cells[0].plugins.modalities, (std::vector<int>{1, 0}));

  const Pipeline one = read(base, {"dataset.modalities=['audio']"});
  ASSERT_EQ(one.cells.size(), 1U) << "alone already";
  EXPECT_EQ(one.cells[0].label.run, "joint seed=0");
  EXPECT_EQ(one.cells[0].alone, "");
  EXPECT_FALSE(toml::at_path(one.cells[0].config, "encoder.image"));
}

TEST_F(PipelineTest, ResolvesPathsAgainstTheFileThatNamesThem) {
  fs::create_directories(folder_ / "sub");
  std::ofstream(folder_ / "sub" / "data.toml") << "dataset.root = '../digits'\n";
  const Pipeline pipeline = read("include = ['sub/data.toml']\n" + base);
  EXPECT_EQ(pipeline.cells[0].path_keys, (std::vector<std::string>{"dataset.root"}));
  EXPECT_EQ(toml::at_path(pipeline.cells[0].config, "dataset.root").value<std::string>(),
            (folder_ / "digits").string());
}

TEST_F(PipelineTest, SearchesItsPluginPathRelativeToTheFile) {
  const std::string sentence = error_of("plugin_path = ['mine']\n" + base, {"fusion.plugin=none"});
  EXPECT_TRUE(sentence.starts_with("--set fusion.plugin=none: unknown fusion 'none'.\n  searched: " +
                                   (folder_ / "mine").string() + " (plugin_path, does not exist)\n"))
      << sentence;
}

TEST_F(PipelineTest, ChecksTheOptionsOfEncodersThatAreNotUsed) {
  EXPECT_EQ(error_of(base, {"dataset.modalities=['audio']", "encoder.image.widt=3"}),
            "--set encoder.image.widt=3: unknown key encoder.image.widt; did you mean 'width'?");
  EXPECT_EQ(error_of(base, {"encoder.imag.plugin=lenet"}),
            "--set encoder.imag.plugin=lenet: unknown key encoder.imag; did you mean 'image'?");
}

TEST_F(PipelineTest, NamesWhatIsWrong) {
  EXPECT_EQ(error_of(encoders), "FILE:1:1: [dataset] is missing.");
  EXPECT_EQ(error_of("[dataset]\nroot = 'x'\n" + encoders + "[fusion]\nplugin = 'concat'\n"),
            "FILE:1:1: dataset.plugin is required (name of the dataset).");
  EXPECT_EQ(error_of("[dataset]\nplugin = 'av_digits'\n[encoder.audio]\nplugin = 'lenet'\n[fusion]\nplugin = "
                     "'concat'\n"),
            "FILE:3:1: [encoder.image] is missing: every modality needs an encoder.");
  EXPECT_EQ(error_of("titl = 'x'\n" + base), "FILE:1:1: unknown key titl; did you mean 'title'?");
  EXPECT_EQ(error_of(base + "[analysis]\ncompetiton = true\n"), "FILE:9:1: unknown key analysis.competiton");
  EXPECT_EQ(error_of(base, {"dataset.modalities=[]"}),
            "--set dataset.modalities=[]: dataset.modalities is empty, but a run needs a modality.");
  EXPECT_EQ(error_of(base, {"dataset.modalities=['audio', 'audio']"}),
            "--set dataset.modalities=['audio', 'audio']: dataset.modalities names 'audio' twice.");
  EXPECT_EQ(error_of(base + "[matrix]\nseed = [0, 0]\n"), "[matrix] has the run 'joint seed=0' twice.");
}

TEST_F(PipelineTest, RefusesWhatDoesNotFitTogetherAndNamesTheRun) {
  EXPECT_EQ(
      error_of(
          base +
          "[matrix]\nmodulation = [{ plugin = 'ogm_ge', alpha = 0.3 }]\nfusion = [{ plugin = 'maxout' }]\n"),
      "FILE:9:15: run 'ogm_ge alpha=0.3 maxout seed=0': modulation ogm_ge needs an additive fusion (logits "
      "that are a sum "
      "of one share per modality), and fusion maxout is not additive.");
  EXPECT_EQ(
      error_of(base + "[modulation]\nplugin = 'dgl'\n", {"fusion.plugin=mmtm"}),
      "FILE:8:1: run 'dgl seed=0': modulation dgl needs a fusion that follows the encoders, and fusion mmtm "
      "acts between their stages: choose one that takes their features.");
  EXPECT_EQ(
      error_of(base + "[modulation]\nplugin = 'aug'\n", {"fusion.plugin=mmtm"}),
      "FILE:8:1: run 'aug seed=0': modulation aug needs a fusion that follows the encoders, and fusion mmtm "
      "acts between their stages: choose one that takes their features.");
  for (const auto& [task, targets] :
       {std::pair("regression", "numbers"), std::pair("multi_label", "labels that may hold together")}) {
    EXPECT_EQ(
        error_of("[dataset]\nplugin = 'synthetic'\ntask = '" + std::string(task) +
                 "'\n[encoder]\nm0.plugin = 'mlp'\nm1.plugin = 'mlp'\n[fusion]\nplugin = 'concat'\n"
                 "[modulation]\nplugin = 'pmr'\n"),
        "FILE:9:1: run 'pmr seed=0': modulation pmr needs targets that are classes, and those of dataset "
        "synthetic are " +
            std::string(targets) + ": choose data of a classification task, or another modulation.");
  }
}

TEST_F(PipelineTest, DescribesEveryRun) {
  std::ostringstream text;
  describe(read(base + "[modulation]\nplugin = 'agm'\n[train]\nepochs = 1\nbatch_size = 32\n"), text);
  const std::string expected =
      "agm seed=0\n"
      "  dataset     av_digits 0.1.0\n"
      "  encoders    audio by lenet 0.1.0, image by lenet 0.1.0\n"
      "  fusion      concat 0.1.0\n"
      "  modulation  agm 0.1.0\n"
      "  training    1 epoch, batches of 32, sgd, 3 subsets of modalities and 1 backward pass a step\n"
      "audio alone seed=0\n"
      "  dataset     av_digits 0.1.0\n"
      "  encoders    audio by lenet 0.1.0\n"
      "  fusion      concat 0.1.0\n"
      "  modulation  joint 0.1.0\n"
      "  training    1 epoch, batches of 32, sgd, 1 subset of modalities and 1 backward pass a step\n"
      "image alone seed=0\n";
  EXPECT_EQ(text.str().substr(0, expected.size()), expected);
  EXPECT_TRUE(text.str().ends_with("\n3 runs can start.\n")) << text.str();
}

}  // namespace
}  // namespace poise
