// Plugins that lie, each with the sentence that it gets from the loader, and the status of `poise plugins info`.
#include <string>

#include "plugins_fixture.h"
#include "poise/encoder.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::fixture;
using testing::manifest;
using testing::with;
using LoaderTest = testing::PluginsTest;

TEST_F(LoaderTest, AGoodPluginIsLoadedWithItsOptions) {
  const std::string library = install_fixture("good_plugin");
  Config config = Config::parse("alpha = 2.0\nnote = 'x'\n[schedule]\nshape = 'cosine'\n");
  const auto loaded = load<Modulation>(found("good_plugin"), config);
  config.finish();
  EXPECT_EQ(loaded.name.name, "good_plugin");
  EXPECT_EQ(loaded.name.version, "1.2.3");
  EXPECT_EQ(loaded.name.file, fs::canonical(library));
  EXPECT_EQ(loaded.call([](Modulation& modulation) { return modulation.requirements(2).subsets_per_step; }),
            12);
}

TEST_F(LoaderTest, ALibraryIsOpenedOnce) {
  install_fixture("good_plugin");
  const PoisePlugin& first = open_plugin(found("good_plugin"));
  EXPECT_EQ(&first, &open_plugin(found("good_plugin")));
  // The same file by another way.
  const fs::path other = folder_.path() / "other";
  fs::create_directory_symlink(plugins_, other);
  EXPECT_EQ(&first, &open_plugin(Catalog({{other, "user"}}).find("modulation", "good_plugin")));
}

TEST_F(LoaderTest, WrongOptionsStayTheUsersFault) {
  install_fixture("good_plugin");
  Config config = Config::parse("alpha = -1.0\nnote = 'x'", "pipeline.toml");
  const Error error = error_of([&] { load<Modulation>(found("good_plugin"), config); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_STREQ(error.what(),
               "pipeline.toml:1:9: alpha is -1, but must be at least 0 (strength of the modulation).");
}

TEST_F(LoaderTest, APluginIsNotCastToAnotherKind) {
  install_fixture("good_plugin");
  Config config = Config::recording();
  EXPECT_STREQ(error_of([&] { load<Encoder>(found("good_plugin"), config); }).what(),
               "the modulation 'good_plugin' cannot be used: it is no encoder.");
}

TEST_F(LoaderTest, AConstructorThatThrows) {
  const std::string library = install_fixture("bad_constructor");
  const std::string sentence = "bad_constructor 1.2.3 (" + library + "): no luck today";
  const Error error = load_error("bad_constructor");
  EXPECT_EQ(error.what(), sentence);
  EXPECT_EQ(error.fault(), Fault::plugin);
  expect_damaged("bad_constructor", sentence);
}

TEST_F(LoaderTest, ALibraryWithoutTheSymbol) {
  const std::string library = install_fixture("bad_symbol");
  expect_refused("bad_symbol",
                 library +
                     " does not export poise_plugin, so it is no plugin of Poise, or its source file "
                     "does not end with a POISE_* line (poise/plugin.h).");
}

TEST_F(LoaderTest, AWrongMagicNumber) {
  const std::string library = install_fixture("bad_magic");
  expect_refused("bad_magic",
                 "poise_plugin in " + library +
                     " does not begin with Poise's magic number; declare the plugin with a POISE_* "
                     "line (poise/plugin.h).");
}

TEST_F(LoaderTest, ADeclarationThatIsTooShort) {
  const std::string library = install_fixture("bad_size");
  expect_refused("bad_size", "poise_plugin in " + library + " has 16 bytes, but this host reads " +
                                 std::to_string(sizeof(PoisePlugin)) +
                                 "; build the plugin again with this SDK.");
}

TEST_F(LoaderTest, AnUndefinedSymbol) {
  const std::string library = install_fixture("bad_undefined");
  expect_refused(
      "bad_undefined",
      library +
          " needs elsewhere::balance(double, int), which neither this host's SDK and LibTorch nor the "
          "libraries that it names have; build it again with poise_add_plugin(), which finds this when it "
          "links, or install another build.");
}

TEST_F(LoaderTest, ATextFileNamedSo) {
  const std::string library = (testing::install(plugins_, manifest("text")) / "text.so").string();
  expect_refused("text", library + " is not a shared library; install the plugin again.");
}

TEST_F(LoaderTest, ALibraryThatIsCutOff) {
  const std::string library = install_fixture("good_plugin");
  for (const std::uintmax_t size : {fs::file_size(library) / 2, std::uintmax_t{1000}, std::uintmax_t{64}}) {
    fs::resize_file(library, size);
    EXPECT_EQ(
        std::string(load_error("good_plugin").what()),
        "the modulation 'good_plugin' cannot be used: " + library + " is cut off; install the plugin again.");
  }
}

TEST_F(LoaderTest, ALibraryThatTheLinkerRefuses) {
  const std::string library = install_fixture("good_plugin");
  std::string bytes = read_file(library);
  bytes[4] = '\1';  // a library of 32 bits
  write_file(library, bytes);
  EXPECT_EQ(std::string(load_error("good_plugin").what()),
            "the modulation 'good_plugin' cannot be used: " + library + " cannot be opened: " + library +
                ": wrong ELF class: ELFCLASS32.");
}

TEST_F(LoaderTest, ASecondLibTorch) {
  // In a process of its own, since what is opened stays.
  const std::string library = install_fixture("bad_torch");
  const Finished finished = poise({"plugins", "info", "bad_torch"});
  EXPECT_EQ(finished.status, 3);
  const std::string start = "the modulation 'bad_torch' cannot be used: " + library +
                            " brings a second LibTorch into the process (";
  EXPECT_NE(finished.out.find(start), std::string::npos) << finished.out;
  EXPECT_NE(finished.out.find(POISE_FIXTURES "/libtorch_cpu-1a2b3c4d.so"), std::string::npos) << finished.out;
}

TEST_F(LoaderTest, AManifestOfAnotherLibraryIsADamagedPackage) {
  auto other = manifest("good_plugin");
  other.version = "1.2.4";
  testing::install(plugins_, other, fixture("good_plugin"));
  expect_refused("good_plugin",
                 "the package is damaged: version is '1.2.3' in good_plugin.so, but '1.2.4' in "
                 "plugin.toml; install the plugin again (" +
                     (plugins_ / "good_plugin").string() + ").");
}

TEST_F(LoaderTest, EveryFieldOfTheManifestIsComparedWithTheLibrary) {
  const auto good = manifest("good_plugin");
  const fs::path folder = testing::install(plugins_, good, fixture("good_plugin"));
  const auto expect_damage = [&](const std::string& field, const Manifest& edited, const Identity& host) {
    write_file(folder / "plugin.toml", testing::toml_text(edited));
    const Error error = error_of([&] { open_plugin(found("good_plugin", host)); });
    EXPECT_NE(std::string(error.what()).find("the package is damaged: " + field + " is '"), std::string::npos)
        << field << ": " << error.what();
  };
  for (const auto member : {&Manifest::version, &Manifest::summary, &Manifest::license}) {
    auto edited = good;
    edited.*member += 'x';
    expect_damage(member == &Manifest::version   ? "version"
                  : member == &Manifest::summary ? "summary"
                                                 : "license",
                  edited, host_identity());
  }
  for (const auto& [field, value] : host_identity()) {
    // A host for which the manifest is right.
    auto edited = good;
    edited.built_with = with(good.built_with, field, "7.7");
    expect_damage("built_with." + field, edited, edited.built_with);
  }
  write_file(folder / "plugin.toml", testing::toml_text(good));
  EXPECT_NO_THROW(open_plugin(found("good_plugin")));
}

}  // namespace
}  // namespace poise
