#include "pipeline/label.h"

#include <gtest/gtest.h>

namespace poise {
namespace {

const std::vector<Option> agm_options = {{"alpha", "number", "1", false, "", ""},
                                         {"window", "integers", "[0, 10]", false, "", ""},
                                         {"mode", "text", "\"mean\"", false, "", ""},
                                         {"must", "number", "", true, "", ""}};

/// "GROUP | RUN"
std::string label(const std::string& text, const std::vector<std::string>& axes,
                  const std::string& alone = "") {
  const toml::table table = toml::parse(text);
  const Label made = make_label({table, axes, agm_options, {}, alone});
  return made.group + " | " + made.run;
}

TEST(Label, NamesTheModulationAndTheSeed) {
  EXPECT_EQ(label("modulation.plugin = 'joint'\nseed = 3\n", {}), "joint | joint seed=3");
}

TEST(Label, NamesOptionsThatAreNotAtTheirDefaults) {
  EXPECT_EQ(
      label("modulation = { plugin = 'agm', alpha = 1.5, mode = 'sum' }\nseed = 0\n", {"modulation", "seed"}),
      "agm alpha=1.5 mode=sum | agm alpha=1.5 mode=sum seed=0");
  EXPECT_EQ(label("modulation = { plugin = 'agm', alpha = 1.0, window = [0, 10], mode = 'mean', must = 0 "
                  "}\nseed = 0\n",
                  {}),
            "agm must=0 | agm must=0 seed=0");
}

TEST(Label, NamesTheFusionOnlyWhereItVaries) {
  const std::string text =
      "modulation.plugin = 'agm'\nfusion = { plugin = 'maxout', dropout = 0.5 }\nseed = 0\n";
  EXPECT_EQ(label(text, {"modulation"}), "agm | agm seed=0");
  EXPECT_EQ(label(text, {"fusion"}), "agm maxout dropout=0.5 | agm maxout dropout=0.5 seed=0");
  EXPECT_EQ(label(text, {"fusion.dropout"}), "agm dropout=0.5 | agm dropout=0.5 seed=0");
}

TEST(Label, NamesOtherAxesByTheirLastPart) {
  EXPECT_EQ(label("modulation = { plugin = 'agm', alpha = 2 }\nseed = 0\ntrain.optimizer.lr = 0.01\n"
                  "encoder.audio.plugin = 'lenet'\n",
                  {"encoder.audio", "train.optimizer.lr", "modulation.alpha", "seed"}),
            "agm alpha=2 audio=lenet lr=0.01 | agm alpha=2 audio=lenet lr=0.01 seed=0");
}

TEST(Label, NamesAxesInFullWhereTheirLastPartsAreTheSame) {
  EXPECT_EQ(label("modulation.plugin = 'agm'\nseed = 0\nencoder.a.width = 1\nencoder.b.width = 2\n",
                  {"encoder.a.width", "encoder.b.width"}),
            "agm encoder.a.width=1 encoder.b.width=2 | agm encoder.a.width=1 encoder.b.width=2 seed=0");
}

TEST(Label, EndsWithWhatTheDataAre) {
  const toml::table table = toml::parse(
      "modulation.plugin = 'joint'\nseed = 1\ntrain.optimizer.lr = 0.01\ndataset.noise_snr = inf\n"
      "dataset.modalities = ['a', 'b']\n");
  const std::vector<std::string> axes = {"dataset.noise_snr", "dataset.modalities", "train.optimizer.lr"};
  const Label joint = make_label({table, axes, {}, {}, ""});
  EXPECT_EQ(joint.group, "joint modalities=[\"a\", \"b\"] lr=0.01 noise_snr=inf");
  EXPECT_EQ(joint.condition, "noise_snr=inf") << "other modalities are another method, not other data";
  const Label alone = make_label({table, axes, {}, {}, "a"});
  EXPECT_EQ(alone.group, "a alone lr=0.01 noise_snr=inf");
  EXPECT_EQ(alone.condition, "noise_snr=inf");
}

TEST(Label, ADatasetThatVariesIsTheConditionOfAModalityAloneToo) {
  const auto condition = [](const std::string& modalities, const std::string& alone) {
    const toml::table table =
        toml::parse("modulation.plugin = 'joint'\nseed = 1\ndataset = { plugin = 'digits', " + modalities +
                    "size = 3 }\n");
    return make_label({table, {"dataset"}, {}, {}, alone}).condition;
  };
  EXPECT_EQ(condition("", ""), "dataset=digits size=3");
  EXPECT_EQ(condition("modalities = ['a'], ", "a"), "dataset=digits size=3");
}

TEST(Label, OfAModalityAloneHasNoAxisThatDoesNotActOnIt) {
  EXPECT_EQ(
      label("modulation.plugin = 'joint'\nfusion.plugin = 'concat'\nseed = 1\ntrain.optimizer.lr = 0.01\n"
            "encoder.audio.width = 8\ndataset.modalities = ['audio']\n",
            {"modulation", "fusion", "encoder.image.width", "encoder.audio.width", "dataset.modalities",
             "train.optimizer.lr", "seed"},
            "audio"),
      "audio alone encoder.audio.width=8 lr=0.01 | audio alone encoder.audio.width=8 lr=0.01 seed=1");
}

}  // namespace
}  // namespace poise
