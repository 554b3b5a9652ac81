#include "pipeline/identity.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

class FileDataset : public Dataset {
 public:
  explicit FileDataset(std::vector<fs::path> files) : files_(std::move(files)) {}
  std::vector<Modality> modalities() const override { return {{"audio", {1}}}; }
  Task task() const override { return {.outputs = 2, .labels = {"a", "b"}}; }
  std::vector<fs::path> files() const override {
    if (files_.empty()) throw Error("there is no data.");
    return files_;
  }
  void build(const DatasetSpec&) override {}
  std::int64_t size(Split) const override { return 0; }
  Batch fetch(Split, const torch::Tensor&, std::uint64_t) const override { return {}; }

 private:
  std::vector<fs::path> files_;
};

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() {
    for (const char* name : {"dataset.so", "lenet.so", "concat.so", "joint.so", "data"}) write(name, name);
  }

  fs::path write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  PluginName plugin(const std::string& name) { return {name, "1.0.0", folder_ / (name + ".so")}; }

  /// A run of two lenets.
  Cell cell() {
    Cell cell;
    cell.label = {"joint", "joint seed=0", ""};
    cell.plugins.dataset = {std::make_shared<FileDataset>(std::vector<fs::path>{folder_ / "data"}),
                            plugin("dataset")};
    cell.plugins.encoders = {{nullptr, plugin("lenet")}, {nullptr, plugin("lenet")}};
    cell.plugins.fusion = {nullptr, plugin("concat")};
    cell.plugins.modulation = {nullptr, plugin("joint")};
    cell.config = toml::parse(
        "seed = 0\n[dataset]\nroot = '/a'\n[encoder.audio]\nweights = '/none'\n[train]\nlr = 0.1\n");
    cell.path_keys = {"dataset.root", "encoder.audio.weights"};
    return cell;
  }
  /// The hashes of LibTorch's large libraries are kept for all tests.
  RunIdentity identify(const Cell& cell, const std::string& device = "cpu", int threads = 2) {
    static const testing::TemporaryFolder kept;
    Identifier identifier(device, threads, HashCache(kept.path() / "hashes.json"));
    RunIdentity identity = identifier.identify(cell);
    identifier.save();
    return identity;
  }
  /// The hash after a change of the run.
  std::string hash_after(const std::function<void(Cell&)>& change) {
    Cell changed = cell();
    change(changed);
    return identify(changed).hash;
  }

  testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(IdentityTest, IsTheSameForTheSameRun) {
  const std::string hash = identify(cell()).hash;
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(identify(cell()).hash, hash);
  EXPECT_EQ(hash_after([](Cell& c) { c.label = {"other", "other seed=0", ""}; }), hash);
  EXPECT_EQ(hash_after([](Cell& c) {
              c.config = toml::parse(
                  "train = { lr = 1e-1 }\nencoder.audio.weights = '/none'\nseed = 0\n[dataset]\n");
              c.path_keys = {"encoder.audio.weights"};
            }),
            hash)
      << "how the file is written, and where the data lie, changes no bit";
}

TEST_F(IdentityTest, ChangesWithWhatCanChangeABit) {
  const std::string hash = identify(cell()).hash;
  EXPECT_NE(hash_after([](Cell& c) { c.config.insert_or_assign("seed", 1); }), hash);
  EXPECT_NE(identify(cell(), "cuda:0").hash, hash);
  EXPECT_NE(identify(cell(), "cpu", 3).hash, hash);
  EXPECT_NE(hash_after([&](Cell& c) { c.plugins.encoders[1].name = plugin("concat"); }), hash);

  write("joint.so", "another build");
  EXPECT_NE(identify(cell()).hash, hash);
  write("joint.so", "joint.so");
  EXPECT_EQ(identify(cell()).hash, hash);
  write("data", "other data");
  EXPECT_NE(identify(cell()).hash, hash);
}

TEST_F(IdentityTest, TellsAFileOfAPluginByItsContent) {
  const auto with_weights = [&](const fs::path& path) {
    return hash_after(
        [&](Cell& c) { toml::at_path(c.config, "encoder.audio.weights").as_string()->get() = path; });
  };
  const std::string hash = with_weights(write("one/weights", "w"));
  EXPECT_EQ(with_weights(write("two/weights", "w")), hash);
  EXPECT_NE(with_weights(write("three/weights", "v")), hash);
}

TEST_F(IdentityTest, ProvenanceNamesVersionsAndHashes) {
  const auto json = to_json(identify(cell()).provenance);
  EXPECT_EQ(json.at("host").at("version"), POISE_VERSION);
  EXPECT_EQ(json.at("host").at("sha256"), sha256_file("/proc/self/exe"));
  EXPECT_EQ(json.at("sdk").at("sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(json.at("torch").at("libtorch_cpu_sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(json.at("torch").at("libc10_sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(json.at("plugins").at("lenet").at("sha256"), sha256("lenet.so"));
  EXPECT_EQ(json.at("plugins").at("lenet").at("kind"), "encoder");
  EXPECT_EQ(json.at("plugins").size(), 4U);
  EXPECT_EQ(json.at("data").at("files"), 1);
  EXPECT_EQ(json.at("data").at("bytes"), 4);
  EXPECT_EQ(json.at("machine").at("device"), "cpu");
  EXPECT_EQ(json.at("machine").at("threads"), 2);
}

TEST_F(IdentityTest, PassesOnThatThereIsNoData) {
  Cell empty = cell();
  empty.plugins.dataset.object = std::make_shared<FileDataset>(std::vector<fs::path>{});
  EXPECT_THROW(identify(empty), Error);
}

}  // namespace
}  // namespace poise
