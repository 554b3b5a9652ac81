#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "../cli/process.h"
#include "plugins/loader.h"
#include "plugins/test_plugins.h"
#include "poise/modulation.h"
#include "poise/testing_folder.h"

namespace poise::testing {

namespace fs = std::filesystem;

inline fs::path fixture(const std::string& name) { return fs::path(POISE_FIXTURES) / (name + ".so"); }

/// A folder of plugins, given to the loader's functions and to the real command.
class PluginsTest : public ::testing::Test {
 protected:
  // The user's own plugins are not the test's.
  static void SetUpTestSuite() { ::setenv("XDG_DATA_HOME", POISE_FIXTURES, 1); }
  PluginsTest() { fs::create_directory(plugins_); }

  /// Installs the fixture `name` with a manifest that fits; returns its library's path.
  std::string install_fixture(const std::string& name) {
    return (install(plugins_, manifest(name), fixture(name)) / (name + ".so")).string();
  }
  [[nodiscard]] const Entry& found(const std::string& name, const Identity& host = host_identity()) {
    catalogs_.push_back(
        std::make_unique<Catalog>(std::vector<SearchFolder>{{plugins_, "--plugin-dir"}}, host));
    return catalogs_.back()->find("modulation", name);
  }
  Error load_error(const std::string& name) {
    Config config = Config::recording();
    return error_of([&] { load<Modulation>(found(name), config); });
  }
  [[nodiscard]] Finished poise(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--plugin-dir", plugins_.string()});
    return poise_in(folder_.path(), arguments);
  }
  /// `poise plugins info` refuses the plugin with `sentence`, and the loader says the same.
  void expect_refused(const std::string& name, const std::string& sentence) {
    const std::string whole = "the modulation '" + name + "' cannot be used: " + sentence;
    const Error error = load_error(name);
    EXPECT_EQ(error.what(), whole);
    EXPECT_EQ(error.fault(), Fault::plugin);
    expect_damaged(name, whole);
  }
  void expect_damaged(const std::string& name, const std::string& sentence) const {
    const Finished text = poise({"plugins", "info", name});
    EXPECT_EQ(text.status, 3);
    EXPECT_EQ(text.err, "");
    EXPECT_NE(text.out.find("\nstate      damaged\n           " + sentence + "\n"), std::string::npos)
        << text.out;
    const Finished json = poise({"plugins", "info", name, "--json"});
    EXPECT_EQ(json.status, 3);
    const auto parsed = nlohmann::json::parse(json.out);
    EXPECT_EQ(parsed.at("state"), "damaged");
    EXPECT_EQ(parsed.at("reasons"), nlohmann::json::array({sentence}));
    EXPECT_TRUE(parsed.at("options").empty());
  }

  TemporaryFolder folder_;
  fs::path plugins_ = folder_.path() / "plugins";
  std::vector<std::unique_ptr<Catalog>> catalogs_;
};

}  // namespace poise::testing
