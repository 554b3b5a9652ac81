// What a plugin declares by reading its options from an empty, recording Config.
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "poise/config.h"
#include "poise/error.h"

namespace poise {
namespace {

using Integers = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using Texts = std::vector<std::string>;

TEST(ConfigTest, RecordingListsEveryOptionAndGivesValuesInRange) {
  Config config = Config::recording();
  EXPECT_TRUE(config.is_recording());
  EXPECT_EQ(config.number("a", 0.1, {.min = 0, .max = 1}, "m a"), 0.1);
  EXPECT_EQ(config.number("b", required, {.min = 2}, "m b"), 2.0);
  EXPECT_EQ(config.number("c", required, {.max = -3}, "m c"), -3.0);
  EXPECT_EQ(config.number("d", required, {}, "m d"), 0.0);
  EXPECT_EQ(config.integer("e", 100, {.min = 1}, "m e"), 100);
  EXPECT_FALSE(config.boolean("f", false, "m f"));
  EXPECT_EQ(config.text("g", "x", "m g"), "x");
  EXPECT_EQ(config.text("h", required, "m h"), "");
  EXPECT_EQ(config.choice("i", "x", {"x", "y"}, "m i"), "x");
  config.table("t").table("u").integers("deep", {1, 2}, {.max = 9}, "m deep");
  EXPECT_EQ(config.path("j", "sample", "m j"), "sample");
  config.texts("k", {"x"}, "m k");
  EXPECT_EQ(config.path("l", required, "m l"), "");
  config.numbers("m", {1, 0.5}, {.min = 0}, "m m");
  EXPECT_NO_THROW(config.finish());

  const std::vector<Option> expected = {{"a", "number", "0.1", false, "from 0 to 1", "m a"},
                                        {"b", "number", "", true, "at least 2", "m b"},
                                        {"c", "number", "", true, "at most -3", "m c"},
                                        {"d", "number", "", true, "", "m d"},
                                        {"e", "integer", "100", false, "at least 1", "m e"},
                                        {"f", "boolean", "false", false, "", "m f"},
                                        {"g", "text", "\"x\"", false, "", "m g"},
                                        {"h", "text", "", true, "", "m h"},
                                        {"i", "text", "\"x\"", false, "one of \"x\", \"y\"", "m i"},
                                        {"j", "path", "\"sample\"", false, "", "m j"},
                                        {"k", "texts", "[\"x\"]", false, "", "m k"},
                                        {"l", "path", "", true, "", "m l"},
                                        {"m", "numbers", "[1, 0.5]", false, "at least 0", "m m"},
                                        {"t.u.deep", "integers", "[1, 2]", false, "at most 9", "m deep"}};
  const auto fields = [](const std::vector<Option>& options) {
    std::vector<Texts> rows;
    rows.reserve(options.size());
    for (const auto& option : options) {
      rows.push_back({option.key, option.type, option.default_value, option.is_required ? "required" : "",
                      option.range, option.meaning});
    }
    return rows;
  };
  EXPECT_EQ(fields(config.options()), fields(expected));
}

TEST(ConfigTest, DefaultsAreWrittenWithAsFewDigitsAsGiveThemBack) {
  const auto default_text = [](double value) {
    Config config = Config::recording();
    config.number("a", value, {}, "");
    return config.options().at(0).default_value;
  };
  EXPECT_EQ(default_text(0), "0");
  EXPECT_EQ(default_text(100), "100");
  EXPECT_EQ(default_text(-1.25), "-1.25");
  EXPECT_EQ(default_text(1e-4), "1e-04");
  EXPECT_EQ(default_text(1e-8), "1e-08");
  EXPECT_EQ(default_text(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(default_text(3e20), "3e+20");
  EXPECT_EQ(default_text(std::numeric_limits<double>::infinity()), "inf");
}

}  // namespace
}  // namespace poise
