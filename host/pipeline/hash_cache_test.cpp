#include "pipeline/hash_cache.h"

#include <gtest/gtest.h>

#include <fstream>

#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

class HashCacheTest : public ::testing::Test {
 protected:
  fs::path write(const fs::path& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  HashCache cache() { return HashCache(folder_ / "cache" / "hashes.json"); }
  /// The hash of files below `root` of the test's folder, without a cache from before.
  std::string fingerprint(const std::string& root, const std::vector<std::string>& names) {
    std::vector<fs::path> files;
    for (const auto& name : names) files.push_back(folder_ / root / name);
    return HashCache(folder_ / "none.json").of_data(files).sha256;
  }

  testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

// From `printf abc | sha256sum` and `head -c 3000000 /dev/zero | sha256sum`.
const char* const sha256_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const char* const sha256_of_3000000_zeros =
    "35bce4eae54ec8e6cc2868baa8d157914d6ae2858811b4cc0c078c94460fa26f";

TEST_F(HashCacheTest, HashesTheWholeOfAFile) {
  EXPECT_EQ(cache().of_file(write("abc", "abc")), sha256_of_abc);
  EXPECT_EQ(cache().of_file(write("zeros", std::string(3000000, '\0'))), sha256_of_3000000_zeros);
}

TEST_F(HashCacheTest, NamesTheFileThatIsMissing) {
  try {
    cache().of_file(folder_ / "none");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), "cannot read " + (folder_ / "none").string() + ": No such file or directory");
  }
}

TEST_F(HashCacheTest, RemembersAFileUntilItsSizeOrTimeChanges) {
  const fs::path file = write("file", "abc");
  HashCache first = cache();
  first.of_file(file);
  first.save();
  // The same size and time: the old hash is what proves that the cache was read.
  const auto time = fs::last_write_time(file);
  write("file", "abd");
  fs::last_write_time(file, time);
  EXPECT_EQ(cache().of_file(file), sha256_of_abc);
  fs::last_write_time(file, time + std::chrono::seconds(1));
  EXPECT_NE(cache().of_file(file), sha256_of_abc);
}

TEST_F(HashCacheTest, ForgetsWhatIsDamagedAndBearsAFolderThatCannotBeWritten) {
  const fs::path file = write("file", "abc");
  for (const std::string damaged : {"", "{\"x\": [1, 2], \"y\"", "[1]", "{\"x\": 3, \"y\": [1, 2]}"}) {
    write("cache/hashes.json", damaged);
    EXPECT_EQ(cache().of_file(file), sha256_of_abc);
  }
  HashCache below_a_file(file / "hashes.json");
  EXPECT_EQ(below_a_file.of_file(file), sha256_of_abc);
  EXPECT_NO_THROW(below_a_file.save());
}

TEST_F(HashCacheTest, ACopyElsewhereIsTheSameData) {
  for (const std::string root : {"one", "other/place"}) {
    write(root + "/a/x.wav", "first");
    write(root + "/b/y.wav", "second");
  }
  const std::string original = fingerprint("one", {"a/x.wav", "b/y.wav"});
  EXPECT_EQ(fingerprint("other/place", {"a/x.wav", "b/y.wav"}), original);
  EXPECT_EQ(fingerprint("one", {"b/y.wav", "a/x.wav"}), original);

  EXPECT_NE(fingerprint("one", {"a/x.wav"}), original);
  write("other/place/b/y.wav", "Second");
  EXPECT_NE(fingerprint("other/place", {"a/x.wav", "b/y.wav"}), original);
  write("one/b/z.wav", "second");
  EXPECT_NE(fingerprint("one", {"a/x.wav", "b/z.wav"}), original);
}

TEST_F(HashCacheTest, LooksAtBothEndsOfALargeFile) {
  const std::size_t size = 5 << 20;
  const auto changed_at = [&](std::size_t at) {
    std::string text(size, 'x');
    if (at < size) text[at] = 'y';
    write("large/file", text);
    return fingerprint("large", {"file"});
  };
  const std::string original = changed_at(size);
  EXPECT_NE(changed_at(0), original);
  EXPECT_NE(changed_at((1 << 20) - 1), original);
  EXPECT_NE(changed_at(size - (1 << 20)), original);
  EXPECT_NE(changed_at(size - 1), original);
  EXPECT_EQ(changed_at(size / 2), original) << "the middle of a large file is not read";
}

TEST_F(HashCacheTest, RemembersDataUntilOneFileChanges) {
  const std::vector<fs::path> files = {write("data/a", "abc"), write("data/b", "def")};
  HashCache first = cache();
  const DataFingerprint data = first.of_data(files);
  EXPECT_EQ(data.files, 2U);
  EXPECT_EQ(data.bytes, 6U);
  first.save();
  const auto time = fs::last_write_time(files[1]);
  write("data/b", "xyz");
  fs::last_write_time(files[1], time);
  EXPECT_EQ(cache().of_data(files).sha256, data.sha256);
  fs::last_write_time(files[1], time + std::chrono::seconds(1));
  EXPECT_NE(cache().of_data(files).sha256, data.sha256);
}

}  // namespace
}  // namespace poise
