// Poise as a stranger has it: installed into a folder, and nothing else of it in reach. `poise new` makes a project of
// every kind, and the commands that it prints build, test, validate and run it.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/process.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "poise/testing_folder.h"

namespace {

namespace fs = std::filesystem;
namespace bp = boost::process;

std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Finished {
  int status = -1;
  std::string output;  ///< of both streams, in order
};

class Stranger : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<poise::testing::TemporaryFolder>();
    const Finished installed = run(CMAKE " --install " BUILD_TREE " --prefix " + prefix().string());
    ASSERT_EQ(installed.status, 0) << installed.output;
  }
  static void TearDownTestSuite() { folder.reset(); }

  static fs::path prefix() { return folder->path() / "opt/poise"; }
  static fs::path projects() { return folder->path() / "projects"; }

  /// Lines for a shell, in the folder of the projects. Neither the user's plugins nor a LibTorch other than the one
  /// that the installation recorded can be found.
  static Finished run(const std::string& lines) {
    fs::create_directories(projects());
    bp::environment environment = boost::this_process::environment();
    for (const char* name : {"POISE_TORCH", "POISE_PLUGIN_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH"}) {
      environment.erase(name);
    }
    for (const char* name : {"HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"}) {
      environment[name] = (folder->path() / "home").string();
    }
    const fs::path output = folder->path() / "output.txt";
    Finished finished;
    finished.status = bp::system(bp::search_path("sh"), bp::args({"-e", "-c", lines}), environment,
                                 bp::start_dir(projects().string()),
                                 bp::std_in<bp::null, (bp::std_out & bp::std_err)> output.string());
    finished.output = content(output);
    fs::remove(output);
    return finished;
  }

  /// What is indented in the output of `poise new`.
  static std::string commands_of(const std::string& output) {
    std::istringstream lines(output);
    std::string commands;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("  ")) commands += line + "\n";
    }
    return commands;
  }

  static Finished poise(const std::string& arguments) {
    return run((prefix() / "bin/poise").string() + " " + arguments);
  }

  /// Makes the project and does what `poise new` says. Returns what the commands have printed.
  static std::string expect_works(const std::string& kind) {
    const std::string name = "my_" + kind;
    const Finished made = poise("new " + kind + " " + name);
    EXPECT_EQ(made.status, 0) << made.output;
    const std::string commands = commands_of(made.output);
    EXPECT_EQ(std::count(commands.begin(), commands.end(), '\n'), 6) << made.output;
    const Finished done = run(commands);
    EXPECT_EQ(done.status, 0) << commands << done.output;
    EXPECT_TRUE(holds(done.output, "100% tests passed, 0 tests failed out of 1")) << done.output;
    EXPECT_TRUE(holds(done.output, " passed")) << done.output;
    EXPECT_FALSE(holds(done.output, "warning")) << done.output;
    EXPECT_TRUE(fs::exists(projects() / name / "runs/pipeline/report.html")) << done.output;
    return done.output;
  }

  static std::unique_ptr<poise::testing::TemporaryFolder> folder;
};

std::unique_ptr<poise::testing::TemporaryFolder> Stranger::folder;

TEST_F(Stranger, NothingInstalledKnowsTheSourceTree) {
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(prefix())) {
    const fs::path& path = entry.path();
    EXPECT_FALSE(entry.is_symlink() && fs::read_symlink(path).is_absolute()) << path;
    const bool is_text =
        path.extension() == ".cmake" || path.extension() == ".h" || path.extension() == ".toml";
    if (!entry.is_regular_file() || !is_text) continue;
    ++files;
    EXPECT_FALSE(holds(content(path), SOURCE_TREE)) << path;
    EXPECT_FALSE(holds(content(path), BUILD_TREE)) << path;
  }
  EXPECT_GT(files, 30);
  // Where the dynamic linker is told to look.
  for (const char* file :
       {"bin/poise", "bin/poise-manifest", "lib/libpoise_sdk.so", "lib/poise/plugins/agm/agm.so"}) {
    const Finished dynamic = run("objdump -p " + (prefix() / file).string());
    EXPECT_TRUE(holds(dynamic.output, "RUNPATH")) << dynamic.output;
    EXPECT_FALSE(holds(dynamic.output, SOURCE_TREE)) << file << dynamic.output;
    EXPECT_FALSE(holds(dynamic.output, BUILD_TREE)) << file << dynamic.output;
  }
}

TEST_F(Stranger, TheInstalledExecutableHasItsPlugins) {
  const Finished list = poise("plugins list");
  EXPECT_EQ(list.status, 0) << list.output;
  for (const char* name : {"\nagm ", "\nav_digits ", "\nconcat ", "\nmlp "}) {
    EXPECT_TRUE(holds(list.output, name)) << list.output;
  }
  EXPECT_TRUE(fs::exists(prefix() / "lib/poise/plugins/agm/README.md"));
  const Finished docs = poise("plugins docs");
  EXPECT_EQ(docs.status, 0) << docs.output;
  EXPECT_TRUE(holds(content(projects() / "docs/plugins/modulation/agm.md"), "| `alpha` | number | `1` |"))
      << content(projects() / "docs/plugins/modulation/agm.md");
}

TEST_F(Stranger, MakesADataset) { expect_works("dataset"); }
TEST_F(Stranger, MakesAnEncoder) { expect_works("encoder"); }
TEST_F(Stranger, MakesAFusion) { expect_works("fusion"); }
TEST_F(Stranger, MakesAModulation) {
  const std::string output = expect_works("modulation");
  EXPECT_TRUE(holds(output, "\nmy_modulation")) << "its row in the report: " << output;
  // Installed, it is there for every pipeline.
  const Finished installed = run("cmake --install my_modulation/build --prefix " + prefix().string());
  EXPECT_EQ(installed.status, 0) << installed.output;
  const Finished list = poise("plugins list");
  EXPECT_TRUE(holds(list.output, "built in  scales the gradients of the encoders\n")) << list.output;
}

TEST_F(Stranger, AnotherLibTorchIsRefusedWhenItConfigures) {
  const auto make_torch = [](const std::string& minor, const std::string& variant) {
    const fs::path root = folder->path() / ("torch-" + minor + variant);
    fs::create_directories(root / "lib");
    fs::create_directories(root / "include/torch/headeronly");
    std::ofstream(root / "lib/libc10.so") << "no library";
    std::ofstream(root / "lib/libtorch_cpu.so") << "no library";
    std::ofstream(root / "build-version") << "2." + minor + ".0+" + variant + "\n";
    std::ofstream(root / "include/torch/headeronly/version.h")
        << "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR " + minor +
               "\n#define TORCH_VERSION_PATCH 0\n";
    return root.string();
  };
  ASSERT_EQ(poise("new modulation refused").status, 0);
  const auto configure = [&](const std::string& torch) {
    return run("POISE_TORCH=" + torch + " cmake -S refused -B refused/build-" +
               fs::path(torch).filename().string() + " -DCMAKE_PREFIX_PATH=" + prefix().string());
  };
  const auto unfolded = [](std::string text) {  // CMake folds its messages
    for (char& c : text) c = c == '\n' ? ' ' : c;
    for (auto at = text.find("  "); at != std::string::npos; at = text.find("  ", at)) text.erase(at, 1);
    return text;
  };
  const std::string ours = "This Poise was built with LibTorch 2.11.0, variant " TORCH_VARIANT;

  const Finished newer = configure(make_torch("12", TORCH_VARIANT));
  EXPECT_NE(newer.status, 0);
  EXPECT_TRUE(holds(unfolded(newer.output), ours)) << newer.output;
  EXPECT_TRUE(holds(unfolded(newer.output), "holds LibTorch 2.12.0, variant " TORCH_VARIANT)) << newer.output;

  const Finished other = configure(make_torch("11", "rocm6"));
  EXPECT_NE(other.status, 0);
  EXPECT_TRUE(holds(unfolded(other.output), ours)) << other.output;
  EXPECT_TRUE(holds(unfolded(other.output), "holds LibTorch 2.11.0, variant rocm6")) << other.output;
}

TEST_F(Stranger, AnotherVersionOfTheSdkIsNotFound) {
  std::ofstream(projects() / "CMakeLists.txt")
      << "cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES CXX)\n"
         "find_package(poise 0.2 REQUIRED)\n";
  const Finished finished = run("cmake -S . -B build-of-the-next -DCMAKE_PREFIX_PATH=" + prefix().string());
  EXPECT_NE(finished.status, 0);
  EXPECT_TRUE(holds(finished.output, "version: 0.1.0")) << finished.output;
}

}  // namespace
