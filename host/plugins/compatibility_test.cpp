#include "plugins/compatibility.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "plugins/test_plugins.h"

namespace poise {
namespace {

using Sentences = std::vector<std::string>;

// A host of the tests' own, so that the sentences can be written down.
const Identity& host() {
  static const Identity identity = {
      {"sdk", "1.2"},       {"torch", "2.11.0"}, {"torch_variant", "cu130"}, {"platform", "linux-x86_64-gnu"},
      {"cxx11_abi", "1"},   {"gxx_abi", "1017"}, {"standard", "20"},         {"debug_containers", "release"},
      {"sanitizer", "none"}};
  return identity;
}

Manifest plugin_with(const std::string& field, const std::string& value) {
  Manifest manifest = testing::manifest("agm");
  manifest.built_with = testing::with(host(), field, value);
  return manifest;
}

TEST(CompatibilityTest, AcceptsItsOwnBuild) {
  EXPECT_EQ(mismatches(testing::manifest("agm"), host_identity()), Sentences{});
  for (const auto* kind : {"dataset", "encoder", "fusion", "modulation"}) {
    EXPECT_EQ(mismatches(testing::manifest("agm", kind), host_identity()), Sentences{}) << kind;
  }
}

TEST(CompatibilityTest, EveryFieldOfTheHostIsCompared) {
  for (const auto& [field, value] : host_identity()) {
    Manifest manifest = testing::manifest("agm");
    manifest.built_with = testing::with(manifest.built_with, field, "9.9");
    const auto sentences = mismatches(manifest, host_identity());
    ASSERT_EQ(sentences.size(), 1U) << field;
    EXPECT_NE(sentences[0].find(" 9.9, but this host has "), std::string::npos) << sentences[0];
    EXPECT_NE(sentences[0].find(" " + value + "; get the build for "), std::string::npos) << sentences[0];

    manifest.built_with = testing::with(manifest.built_with, field, "");
    const auto missing = mismatches(manifest, host_identity());
    ASSERT_EQ(missing.size(), 1U) << field;
    EXPECT_NE(missing[0].find("built_with." + field + " is missing"), std::string::npos) << missing[0];
  }
}

TEST(CompatibilityTest, SaysWhatItWasBuiltForWhatThisHostIsAndWhatToGet) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"torch", "2.10.0",
       "It was built for LibTorch 2.10.0, but this host has LibTorch 2.11.0; get the build for "
       "LibTorch 2.11.0."},
      {"torch_variant", "cpu",
       "It was built for LibTorch's variant cpu, but this host has LibTorch's variant cu130; "
       "get the build for LibTorch's variant cu130."},
      {"platform", "linux-aarch64-gnu",
       "It was built for platform linux-aarch64-gnu, but this host has platform "
       "linux-x86_64-gnu; get the build for platform linux-x86_64-gnu."},
      {"cxx11_abi", "0",
       "It was built for _GLIBCXX_USE_CXX11_ABI 0, but this host has _GLIBCXX_USE_CXX11_ABI 1; get "
       "the build for _GLIBCXX_USE_CXX11_ABI 1."},
      {"gxx_abi", "1018",
       "It was built for __GXX_ABI_VERSION 1018, but this host has __GXX_ABI_VERSION 1017; get the "
       "build for __GXX_ABI_VERSION 1017."},
      {"standard", "23", "It was built for C++ 23, but this host has C++ 20; get the build for C++ 20."},
      {"debug_containers", "debug",
       "It was built for containers of the kind debug, but this host has containers of "
       "the kind release; get the build for containers of the kind release."},
      {"sanitizer", "address",
       "It was built for sanitizer address, but this host has sanitizer none; get the build "
       "for sanitizer none."},
      {"sdk", "1.3", "It was built for SDK 1.3, but this host has SDK 1.2; get the build for SDK 1.2."},
      {"torch", "",
       "Its plugin.toml does not say what it was built for: built_with.torch is missing; get the build "
       "for LibTorch 2.11.0."},
      {"torch", "\x1b[2J",
       "It was built for LibTorch \\x1b[2J, but this host has LibTorch 2.11.0; get the build for "
       "LibTorch 2.11.0."},
  };
  for (const auto& [field, value, sentence] : cases) {
    EXPECT_EQ(mismatches(plugin_with(field, value), host()), Sentences{sentence});
  }
}

TEST(CompatibilityTest, AnSdkOfTheSameMajorMayBeOlder) {
  const auto fits = [](const std::string& plugin, const std::string& ours) {
    return mismatches(plugin_with("sdk", plugin), testing::with(host(), "sdk", ours)).empty();
  };
  EXPECT_TRUE(fits("1.0", "1.2"));
  EXPECT_TRUE(fits("1.2", "1.2"));
  EXPECT_TRUE(fits("1.9", "1.10"));
  EXPECT_FALSE(fits("1.10", "1.9"));
  EXPECT_FALSE(fits("1.0", "2.0"));
  EXPECT_FALSE(fits("2.0", "1.2"));
  // Before 1.0 every minor may break.
  EXPECT_TRUE(fits("0.2", "0.2"));
  EXPECT_FALSE(fits("0.1", "0.2"));
  for (const auto* text : {"1", "1.", ".2", "1.2.0", "1.2 ", "one.two", "99999999999.0"}) {
    EXPECT_FALSE(fits(text, "1.2")) << text;
  }
}

TEST(CompatibilityTest, AllDifferencesAreToldAtOnceInTheHostsOrder) {
  Manifest manifest = plugin_with("torch", "2.10.0");
  manifest.interface = "poise.modulation/2";
  manifest.built_with = testing::with(manifest.built_with, "sdk", "2.0");
  const auto sentences = mismatches(manifest, host());
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0],
            "It was built for the interface poise.modulation/2, but this host has poise.modulation/1; "
            "get the build for poise.modulation/1.");
  EXPECT_TRUE(sentences[1].starts_with("It was built for SDK 2.0,")) << sentences[1];
  EXPECT_TRUE(sentences[2].starts_with("It was built for LibTorch 2.10.0,")) << sentences[2];
}

TEST(CompatibilityTest, FieldsThatThisHostDoesNotKnowAreNoDifference) {
  EXPECT_EQ(mismatches(plugin_with("cuda_driver", "999"), host()), Sentences{});
}

TEST(CompatibilityTest, AnUnknownKindIsRefused) {
  Manifest manifest = testing::manifest("agm", "optimiser");
  manifest.built_with = host();
  EXPECT_EQ(
      mismatches(manifest, host()),
      Sentences{"It is a plugin of the kind 'optimiser', but this host knows dataset, encoder, fusion and "
                "modulation; get a Poise that knows this kind."});
  manifest = testing::manifest("agm", "fusion");
  manifest.built_with = host();
  manifest.interface = "poise.modulation/1";
  EXPECT_EQ(
      mismatches(manifest, host()),
      Sentences{
          "It was built for the interface poise.modulation/1, but this host has poise.fusion/1; get the "
          "build for poise.fusion/1."});
}

}  // namespace
}  // namespace poise
