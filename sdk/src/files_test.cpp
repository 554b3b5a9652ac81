#include "poise/files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "poise/error.h"
#include "poise/testing_folder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// The sentence that `function` throws as Error, "" when it throws none.
std::string error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The same, in a child process that `prepare` has limited.
std::string error_in_child(const std::function<bool()>& prepare, const std::function<void()>& function) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = prepare() ? error_of(function) : "the child could not be limited";
    const bool sent = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(sent ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char piece[4096];
  for (ssize_t count = 0; (count = ::read(ends[0], piece, sizeof(piece))) > 0;) {
    text.append(piece, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return text;
}

class WriteFileTest : public ::testing::Test {
 protected:
  WriteFileTest() { write_file(file_, "old"); }
  /// What a write that fails has left: the old file alone.
  void expect_untouched() const {
    EXPECT_EQ(read_file(file_), "old");
    EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{"file"});
  }

  testing::TemporaryFolder folder_;
  fs::path file_ = folder_.path() / "file";
};

TEST_F(WriteFileTest, ReplacesTheWholeFile) {
  const std::string content("n\0ew\r\n", 6);
  write_file(file_, content);
  EXPECT_EQ(read_file(file_), content);
  write_file(file_, [&](std::ostream& stream) {
    stream << "part " << 2;
    // Until all is written, the old file is there.
    EXPECT_EQ(read_file(file_), content);
  });
  EXPECT_EQ(read_file(file_), "part 2");
  EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{"file"});
}

TEST_F(WriteFileTest, AReaderThatHasTheOldFileOpenKeepsIt) {
  const int descriptor = ::open(file_.c_str(), O_RDONLY);
  write_file(file_, "new content");
  char text[16] = {};
  EXPECT_EQ(::read(descriptor, text, sizeof(text)), 3);
  EXPECT_STREQ(text, "old");
  ::close(descriptor);
}

TEST_F(WriteFileTest, AWriterThatThrowsLeavesTheOldFile) {
  EXPECT_THROW(write_file(file_,
                          [](std::ostream& stream) {
                            stream << "half";
                            throw std::runtime_error("stopped");
                          }),
               std::runtime_error);
  expect_untouched();
}

TEST_F(WriteFileTest, ADiskThatTakesNoMoreLeavesTheOldFile) {
  const auto limit = [] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit thousand{1000, 1000};
    return ::setrlimit(RLIMIT_FSIZE, &thousand) == 0;
  };
  EXPECT_EQ(error_in_child(limit, [&] { write_file(file_, std::string(100000, 'x')); }),
            "cannot write " + file_.string() + ": File too large");
  expect_untouched();
  // Content that fits in the stream's buffer meets the limit only when it is closed.
  EXPECT_EQ(error_in_child(limit, [&] { write_file(file_, std::string(1001, 'x')); }),
            "cannot write " + file_.string() + ": File too large");
  expect_untouched();
}

TEST_F(WriteFileTest, AFolderThatMayNotBeWrittenLeavesTheOldFile) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0555), 0);
  // Permissions do not bind root.
  const auto become_nobody = [] { return ::geteuid() != 0 || ::setuid(65534) == 0; };
  EXPECT_EQ(error_in_child(become_nobody, [&] { write_file(file_, "new"); }),
            "cannot write " + file_.string() + ": Permission denied");
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  expect_untouched();
}

TEST_F(WriteFileTest, AFolderInThePlaceOfTheFileStays) {
  fs::create_directories(folder_.path() / "taken/inside");
  EXPECT_EQ(error_of([&] { write_file(folder_.path() / "taken", "new"); }),
            "cannot write " + (folder_.path() / "taken").string() + ": Is a directory");
  EXPECT_EQ(names_in(folder_.path()), (std::set<std::string>{"file", "taken"}));
  EXPECT_EQ(error_of([&] { write_file(folder_.path() / "nowhere/file", "new"); }),
            "cannot write " + (folder_.path() / "nowhere/file").string() + ": No such file or directory");
}

TEST(ReadFileTest, NamesWhatCannotBeRead) {
  const testing::TemporaryFolder folder;
  const std::string missing = (folder.path() / "missing").string();
  for (const auto& read : {&read_file, &sha256_file}) {
    EXPECT_EQ(error_of([&] { read(missing); }), "cannot read " + missing + ": No such file or directory");
    EXPECT_EQ(error_of([&] { read(folder.path()); }),
              "cannot read " + folder.path().string() + ": it is a folder");
  }
  write_file(folder.path() / "empty", "");
  EXPECT_EQ(read_file(folder.path() / "empty"), "");
}

// FIPS 180-4's examples.
TEST(Sha256Test, EqualsThePublishedVectors) {
  const std::string of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const std::string of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  const std::string of_million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  EXPECT_EQ(sha256("abc"), of_abc);
  EXPECT_EQ(sha256(""), of_nothing);
  EXPECT_EQ(sha256(std::string(1000000, 'a')), of_million);

  const testing::TemporaryFolder folder;
  const fs::path file = folder.path() / "file";
  write_file(file, "");
  EXPECT_EQ(sha256_file(file), of_nothing);
  write_file(file, std::string(1000000, 'a'));
  EXPECT_EQ(sha256_file(file), of_million);
  // Several pieces, the last one short.
  const std::string long_text(3 * (std::size_t{1} << 20) + 17, 'b');
  write_file(file, long_text);
  EXPECT_EQ(sha256_file(file), sha256(long_text));
}

TEST(CacheDirectoryTest, FollowsTheEnvironment) {
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(cache_directory(), "/cache/poise");
  ::setenv("XDG_CACHE_HOME", "relative", 1);  // the specification: ignore it
  ::setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(cache_directory(), "/home/someone/.cache/poise");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(cache_directory(), fs::temp_directory_path() / "poise-cache");
}

}  // namespace
}  // namespace poise
