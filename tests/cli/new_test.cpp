// `poise new`: what it writes, and that it writes nothing where it refuses. tests/stranger builds what it makes.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "process.h"

namespace {

namespace fs = std::filesystem;

class New : public testing::Test {
 protected:
  Finished poise(const std::vector<std::string>& arguments) { return poise_in(scratch_.path(), arguments); }
  std::string made(const std::string& file) { return content(scratch_.path() / file); }
  std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(scratch_.path() / folder)) {
      found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  /// Refused with status 2 and a sentence that begins so; nothing is made.
  void expect_refused(const std::vector<std::string>& arguments, const std::string& sentence) {
    const auto before = names("");
    const Finished finished = poise(arguments);
    EXPECT_EQ(finished.status, 2);
    EXPECT_EQ(finished.out, "");
    EXPECT_TRUE(finished.err.starts_with("poise: " + sentence)) << finished.err;
    EXPECT_EQ(names(""), before);
  }

  Scratch scratch_;
};

TEST_F(New, MakesAProjectOfEveryKind) {
  for (const std::string kind : {"dataset", "encoder", "fusion", "modulation"}) {
    const std::string name = "my_2nd_" + kind;
    const Finished finished = poise({"new", kind, name});
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_NE(finished.out.find("\n  cd " + name + "\n"), std::string::npos) << finished.out;
    EXPECT_EQ(names(name), (std::vector<std::string>{"CMakeLists.txt", "README.md", name + ".cpp",
                                                     name + "_test.cpp", "pipeline.toml"}));
    for (const auto& file : names(name)) {
      EXPECT_EQ(made(name + "/" + file).find('@'), std::string::npos)
          << file << " has a place that is not filled";
    }
    std::string type = kind;
    type.front() = static_cast<char>(type.front() - 'a' + 'A');
    EXPECT_NE(made(name + "/" + name + ".cpp").find("class My2nd" + type + " : public poise::" + type + " {"),
              std::string::npos);
  }
  EXPECT_EQ(names("").size(), 4U);
}

TEST_F(New, AModulationIsUnder60LinesInAll) {
  ASSERT_EQ(poise({"new", "modulation", "mine"}).status, 0);
  const std::string both = made("mine/mine.cpp") + made("mine/CMakeLists.txt");
  EXPECT_LT(std::count(both.begin(), both.end(), '\n'), 60);
}

TEST_F(New, RefusesAFolderThatExists) {
  scratch_.write("mine/notes.txt", "mine");
  expect_refused({"new", "modulation", "mine"}, "./mine exists already: ");
  EXPECT_EQ(names("mine"), std::vector<std::string>{"notes.txt"});
  fs::create_symlink("nowhere", scratch_.path() / "link");
  expect_refused({"new", "modulation", "link"}, "./link exists already: ");
}

TEST_F(New, RefusesANameThatCannotBeAPlugins) {
  for (const std::string name : {"Mine", "2mine", "_mine", "my-method", "a/b", "..", "a b", "méthode"}) {
    expect_refused({"new", "encoder", name}, "the name '" + name + "' cannot be a plugin's: ");
  }
  expect_refused({"new", "encoder", "test"}, "the name 'test' is one of CMake's own targets");
  expect_refused({"new", "encoder", "agm"}, "there is a plugin 'agm' already (");
  expect_refused({"new", "decoder", "mine"}, "KIND: decoder not in {");
  expect_refused({"new", "encoder"}, "NAME is required");
}

TEST_F(New, LeavesNothingWhenTheDiskIsFull) {
  // Every file is written, synced and renamed, so that these are calls of different files, the last folder's rename.
  const std::string preload = "LD_PRELOAD=" POISE_FAULT_INJECTOR;
  for (const int call : {1, 6, 11, 16}) {
    const Finished finished =
        poise_in(scratch_.path(), {"new", "encoder", "mine"},
                 {"/usr/bin/env", preload, "POISE_FAULT=full", "POISE_FAULT_AT=" + std::to_string(call),
                  "POISE_FAULT_PATH=.mine.", "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0"});
    EXPECT_EQ(finished.status, 1) << call;
    EXPECT_EQ(finished.out, "");
    EXPECT_NE(finished.err.find("No space left on device"), std::string::npos) << finished.err;
    EXPECT_TRUE(names("").empty()) << call;
  }
}

}  // namespace
