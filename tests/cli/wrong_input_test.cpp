// What a user gets for wrong input: one sentence that says what is wrong, where, and what to do, and the exit
// status that the kind of mistake has.
#include <gtest/gtest.h>
#include <unistd.h>

#include "process.h"

namespace {

namespace fs = std::filesystem;

const std::string pipeline = R"([dataset]
plugin = "av_digits"

[encoder.audio]
plugin = "lenet"
[encoder.image]
plugin = "lenet"

[fusion]
plugin = "concat"

[train]
epochs = 1
)";

class WrongInput : public testing::Test {
 protected:
  WrongInput() { scratch_.write("p.toml", pipeline); }

  /// Runs poise, which must print nothing to stdout, leave no file, and say `sentence`.
  void expect(const std::vector<std::string>& arguments, int status, const std::string& sentence,
              const std::vector<std::string>& prefix = {}) {
    const auto before = files();
    const Finished finished = poise_in(scratch_.path(), arguments, prefix);
    EXPECT_EQ(finished.err, "poise: " + sentence + "\n");
    EXPECT_EQ(finished.status, status);
    EXPECT_EQ(finished.out, "");
    EXPECT_EQ(files(), before);
  }
  /// Of a longer message, the first line.
  void expect_first_line(const std::vector<std::string>& arguments, int status, const std::string& sentence) {
    const Finished finished = poise_in(scratch_.path(), arguments);
    EXPECT_EQ(finished.err.substr(0, finished.err.find('\n')), "poise: " + sentence);
    EXPECT_EQ(finished.status, status);
    EXPECT_EQ(finished.out, "");
  }
  /// The pipeline with `text` behind it.
  void append(const std::string& text) { scratch_.write("p.toml", pipeline + text); }

  std::vector<fs::path> files() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(scratch_.path())) found.push_back(entry.path());
    return found;
  }

  Scratch scratch_;
};

TEST_F(WrongInput, MissingFile) {
  expect({"run", "none.toml"}, 2, "cannot read none.toml: No such file or directory");
  expect({"check", "."}, 2, "cannot read .: it is a folder");
}

TEST_F(WrongInput, TomlSyntax) {
  append("batch_size = = 8\n");
  expect({"run", "p.toml"}, 2, "p.toml:14:14: Error while parsing value: could not determine value type.");
}

TEST_F(WrongInput, UnknownKey) {
  append("batchsize = 8\n");
  expect({"run", "p.toml"}, 2, "p.toml:14:1: unknown key train.batchsize; did you mean 'batch_size'?");
  append("[modulation]\nplugin = 'agm'\nalpa = 1.5\n");
  expect({"check", "p.toml"}, 2, "p.toml:16:1: unknown key modulation.alpa; did you mean 'alpha'?");
  append("[analisis]\nalone = true\n");
  expect({"check", "p.toml"}, 2, "p.toml:14:2: unknown key analisis; did you mean 'analysis'?");
  append("[encoder.video]\nplugin = 'lenet'\n");
  expect({"check", "p.toml"}, 2, "p.toml:14:10: unknown key encoder.video");
}

TEST_F(WrongInput, UnknownKeyOfASetting) {
  expect({"check", "p.toml", "--set", "train.epoch=2"}, 2,
         "--set train.epoch=2: unknown key train.epoch; did you mean 'epochs'?");
}

TEST_F(WrongInput, WrongType) {
  expect({"check", "p.toml", "--set", "train.epochs=two"}, 2,
         "--set train.epochs=two: train.epochs must be a whole number, not string (visits of the training "
         "split).");
  append("[modulation]\nplugin = 'agm'\nalpha = 'strong'\n");
  expect({"check", "p.toml"}, 2,
         "p.toml:16:9: modulation.alpha must be a number, not string (strength of the modulation; 0: "
         "joint training).");
}

TEST_F(WrongInput, OutOfRange) {
  expect({"check", "p.toml", "--set", "train.epochs=0"}, 2,
         "--set train.epochs=0: train.epochs is 0, but must be at least 1 (visits of the training split).");
  expect({"check", "p.toml", "--set", "seed=-1"}, 2,
         "--set seed=-1: seed is -1, but must be at least 0 (seed of every random number).");
}

TEST_F(WrongInput, UnknownPlugin) {
  expect_first_line({"check", "p.toml", "--set", "modulation.plugin=agn"}, 2,
                    "--set modulation.plugin=agn: unknown modulation 'agn'; did you mean 'agm'?");
  expect_first_line({"run", "p.toml", "--set", "encoder.audio.plugin=lenett"}, 2,
                    "--set encoder.audio.plugin=lenett: unknown encoder 'lenett'; did you mean 'lenet'?");
}

TEST_F(WrongInput, SettingOfWhatTheMatrixVaries) {
  append("[matrix]\nmodulation = [{ plugin = 'joint' }, { plugin = 'agm' }]\n");
  expect({"check", "p.toml", "--set", "modulation.alpha=1.5"}, 2,
         "--set modulation.alpha=1.5: [matrix] varies modulation (p.toml:15:14), so change its values there, "
         "or with --set matrix.modulation=[...].");
}

TEST_F(WrongInput, FusionThatIsNotAdditive) {
  append("[modulation]\nplugin = 'ogm_ge'\nalpha = 0.3\n");
  expect({"run", "p.toml", "--set", "fusion.plugin=maxout"}, 2,
         "p.toml:14:1: run 'ogm_ge alpha=0.3 seed=0': modulation ogm_ge needs an additive fusion (logits "
         "that are a sum of one "
         "share per modality), and fusion maxout is not additive.");
}

TEST_F(WrongInput, UnknownModality) {
  expect({"check", "p.toml", "--set", "dataset.modalities=['audo']"}, 2,
         "--set dataset.modalities=['audo']: dataset.modalities names 'audo', but av_digits has audio and "
         "image; did you mean 'audio'?");
}

TEST_F(WrongInput, NoData) {
  fs::create_directories(scratch_.path() / "empty");
  expect({"run", "p.toml", "--set", "dataset.root=empty"}, 2,
         "there are no data at " + (scratch_.path() / "empty").string() +
             ": av_digits looks there for mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz and "
             "fsdd/recordings/{digit}_{speaker}_{take}.wav (or .flac); set the option root.");
}

/// The folder is read-only, and root's right to write all the same is taken away.
TEST_F(WrongInput, OutputFolderThatCannotBeWritten) {
  fs::create_directories(scratch_.path() / "closed");
  fs::permissions(scratch_.path() / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  std::vector<std::string> user;
  if (::geteuid() == 0) user = {"/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"};
  expect({"run", "p.toml", "--output", "closed/runs"}, 2,
         "cannot write into the folder closed/runs: Permission denied. Choose another with --output DIR.",
         user);
  expect({"run", "p.toml", "--output", "closed"}, 2,
         "cannot write into the folder closed: Permission denied. Choose another with --output DIR.", user);
}

TEST_F(WrongInput, OutputFolderThatIsAFile) {
  scratch_.write("file", "");
  expect({"run", "p.toml", "--output", "file"}, 2,
         "cannot write into the folder file: Not a directory. Choose another with --output DIR.");
}

TEST_F(WrongInput, Device) {
  expect({"run", "p.toml", "--device", "gpu"}, 2,
         "--device is 'gpu', but must be auto, cpu, cuda or cuda:N.");
}

}  // namespace
