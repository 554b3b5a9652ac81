#include "poise/config.h"

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <toml++/toml.h>

#include "poise/config_toml.h"
#include "poise/error.h"

namespace poise {
namespace {

using Integers = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using Texts = std::vector<std::string>;

/// The sentence with which `read` refuses the table `text` of the file p.toml.
template <class Read>
std::string refusal(const std::string& text, Read&& read) {
  Config config = Config::parse(text, "p.toml");
  try {
    read(config);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "";
}

TEST(ConfigTest, GivesWhatIsGiven) {
  Config config = Config::parse(R"(
a = 1.5
b = 3
c = -4
d = true
e = "text"
f = "cosine"
g = [1, -2]
h = ["x", "y"]
i = []
j = [1, -2.5]
)");
  EXPECT_EQ(config.number("a", 0.0, {}, ""), 1.5);
  EXPECT_EQ(config.number("b", required, {}, ""), 3.0);  // a whole number is a number
  EXPECT_EQ(config.integer("c", 0, {}, ""), -4);
  EXPECT_TRUE(config.boolean("d", false, ""));
  EXPECT_EQ(config.text("e", "", ""), "text");
  EXPECT_EQ(config.choice("f", "constant", {"constant", "cosine"}, ""), "cosine");
  EXPECT_EQ(config.integers("g", {7}, {}, ""), (Integers{1, -2}));
  EXPECT_EQ(config.texts("h", {}, ""), (Texts{"x", "y"}));
  EXPECT_EQ(config.texts("i", {"default"}, ""), Texts{});
  EXPECT_EQ(config.numbers("j", {}, {}, ""), (Numbers{1, -2.5}));
  EXPECT_NO_THROW(config.finish());
}

TEST(ConfigTest, GivesTheDefaultWhereNothingIsGiven) {
  Config config = Config::parse("");
  EXPECT_EQ(config.number("a", 1.5, {}, ""), 1.5);
  EXPECT_EQ(config.integer("b", 2, {}, ""), 2);
  EXPECT_TRUE(config.boolean("c", true, ""));
  EXPECT_EQ(config.text("d", "text", ""), "text");
  EXPECT_EQ(config.choice("e", "y", {"x", "y"}, ""), "y");
  EXPECT_EQ(config.path("f", "relative", ""), "relative");
  EXPECT_EQ(config.integers("g", {7}, {}, ""), Integers{7});
  EXPECT_EQ(config.texts("h", {"x"}, ""), Texts{"x"});
  EXPECT_EQ(config.numbers("i", {0.5}, {}, ""), Numbers{0.5});
  EXPECT_FALSE(config.has("a"));
  EXPECT_FALSE(config.is_recording());
}

TEST(ConfigTest, RefusesAnotherTypeWithItsPlace) {
  const std::string meaning = "what it is for";
  EXPECT_EQ(refusal("\n  a = 'x'", [&](Config& c) { c.number("a", 0.0, {}, meaning); }),
            "p.toml:2:7: a must be a number, not string (what it is for).");
  EXPECT_EQ(refusal("a = 1.0", [&](Config& c) { c.integer("a", 0, {}, meaning); }),
            "p.toml:1:5: a must be a whole number, not floating-point (what it is for).");
  EXPECT_EQ(refusal("a = 1", [&](Config& c) { c.boolean("a", false, meaning); }),
            "p.toml:1:5: a must be true or false, not integer (what it is for).");
  EXPECT_EQ(refusal("a = true", [&](Config& c) { c.text("a", "", meaning); }),
            "p.toml:1:5: a must be a text in quotes, not boolean (what it is for).");
  EXPECT_EQ(refusal("a = 1", [&](Config& c) { c.choice("a", "x", {"x"}, meaning); }),
            "p.toml:1:5: a must be a text in quotes, not integer (what it is for).");
  EXPECT_EQ(refusal("a = []", [&](Config& c) { c.path("a", "", meaning); }),
            "p.toml:1:5: a must be a text in quotes, not array (what it is for).");
  EXPECT_EQ(refusal("a = 1", [&](Config& c) { c.integers("a", {}, {}, meaning); }),
            "p.toml:1:5: a must be a list of whole numbers, not integer (what it is for).");
  EXPECT_EQ(refusal("a = [1, 2.5]", [&](Config& c) { c.integers("a", {}, {}, meaning); }),
            "p.toml:1:9: a must be a list of whole numbers, not floating-point (what it is for).");
  EXPECT_EQ(refusal("a = 1.5", [&](Config& c) { c.numbers("a", {}, {}, meaning); }),
            "p.toml:1:5: a must be a list of numbers, not floating-point (what it is for).");
  EXPECT_EQ(refusal("a = [1.5, 'x']", [&](Config& c) { c.numbers("a", {}, {}, meaning); }),
            "p.toml:1:11: a must be a list of numbers, not string (what it is for).");
  EXPECT_EQ(refusal("a = 'x'", [&](Config& c) { c.texts("a", {}, meaning); }),
            "p.toml:1:5: a must be a list of texts, not string (what it is for).");
  EXPECT_EQ(refusal("a = ['x', 1]", [&](Config& c) { c.texts("a", {}, meaning); }),
            "p.toml:1:11: a must be a list of texts, not integer (what it is for).");
  EXPECT_EQ(refusal("a = 1", [&](Config& c) { c.table("a"); }),
            "p.toml:1:5: a must be a table, not integer (a group of options).");
}

TEST(ConfigTest, RefusesWhatIsOutOfRange) {
  const auto number = [](Range range) {
    return [range](Config& c) { c.number("a", 0.5, range, "strength"); };
  };
  EXPECT_EQ(refusal("a = -0.1", number({.min = 0})),
            "p.toml:1:5: a is -0.1, but must be at least 0 (strength).");
  EXPECT_EQ(refusal("a = 1.5", number({.max = 1})),
            "p.toml:1:5: a is 1.5, but must be at most 1 (strength).");
  EXPECT_EQ(refusal("a = 1000.0", number({.min = 0, .max = 100})),
            "p.toml:1:5: a is 1000, but must be from 0 to 100 (strength).");
  EXPECT_EQ(refusal("a = 1e-7", number({.min = 0.0001})),
            "p.toml:1:5: a is 1e-07, but must be at least 1e-04 (strength).");
  EXPECT_EQ(refusal("a = inf", number({.min = 0, .max = 1})),
            "p.toml:1:5: a is inf, but must be from 0 to 1 (strength).");
  EXPECT_EQ(refusal("a = 4", [](Config& c) { c.integer("a", 1, {.min = 1, .max = 3}, "epochs"); }),
            "p.toml:1:5: a is 4, but must be from 1 to 3 (epochs).");
  EXPECT_EQ(refusal("a = [1, 0]", [](Config& c) { c.integers("a", {}, {.min = 1}, "widths"); }),
            "p.toml:1:9: a is 0, but must be at least 1 (widths).");
  EXPECT_EQ(refusal("a = [0.5, -0.5]", [](Config& c) { c.numbers("a", {}, {.min = 0}, "shares"); }),
            "p.toml:1:11: a is -0.5, but must be at least 0 (shares).");
  // The ends belong to the range.
  EXPECT_EQ(refusal("a = 0", number({.min = 0, .max = 1})), "");
  EXPECT_EQ(refusal("a = 1.0", number({.min = 0, .max = 1})), "");
}

TEST(ConfigTest, RefusesNotANumberEvenWhereAnythingGoes) {
  EXPECT_EQ(refusal("a = nan", [](Config& c) { c.number("a", 0.0, {.min = 0}, "strength"); }),
            "p.toml:1:5: a is nan, but must be at least 0 (strength).");
  EXPECT_EQ(refusal("a = nan", [](Config& c) { c.number("a", 0.0, {}, "strength"); }),
            "p.toml:1:5: a is nan, but must be a number (strength).");
}

TEST(ConfigTest, RefusesAnotherChoiceAndListsThem) {
  EXPECT_EQ(refusal("a = 'sine'",
                    [](Config& c) {
                      c.choice("a", "flat", {"flat", "cosine"}, "shape");
                    }),
            R"(p.toml:1:5: a is "sine", but must be one of "flat", "cosine" (shape).)");
}

TEST(ConfigTest, NamesWhatIsRequired) {
  EXPECT_EQ(refusal("b = 1", [](Config& c) { c.number("a", required, {}, "strength"); }),
            "p.toml:1:1: a is required (strength).");
  EXPECT_EQ(refusal("[t]\nb = 1", [](Config& c) { c.table("t").text("a", required, "note"); }),
            "p.toml:1:1: t.a is required (note).");
  EXPECT_EQ(refusal("[t]\nb = 1", [](Config& c) { c.table("t").path("a", required, "data"); }),
            "p.toml:1:1: t.a is required (data).");
  EXPECT_EQ(refusal("a = ''", [](Config& c) { c.path("a", required, "data"); }),
            "p.toml:1:5: a is empty, but must name a file or a folder (data).");
}

TEST(ConfigTest, ListsTheKeysThatAreGiven) {
  Config config = Config::parse("[t]\nb = 1\na.x = 2\n\"c d\" = 3\n");
  EXPECT_EQ(config.keys(), Texts{"t"});
  EXPECT_EQ(config.table("t").keys(), (Texts{"a", "b", "c d"}));
  EXPECT_EQ(config.table("u").keys(), Texts{});
  EXPECT_EQ(Config::recording().keys(), Texts{});
  // Being listed is not being read.
  EXPECT_THROW(config.finish(), Error);
}

TEST(ConfigTest, RelativePathsAreMeantFromTheFileThatNamesThem) {
  Config config = Config::parse("a = '../data'\nb = '/absolute/x'\nc = ''\n", "/home/configs/p.toml");
  EXPECT_EQ(config.path("a", "", ""), "/home/data");
  EXPECT_EQ(config.path("b", "", ""), "/absolute/x");
  EXPECT_EQ(config.path("a", required, ""), "/home/data");
  EXPECT_EQ(config.path("c", "default", ""), "");
  Config beside = Config::parse("a = 'data'", "configs/p.toml");
  EXPECT_EQ(beside.path("a", "", ""), std::filesystem::current_path() / "configs/data");
  // On the command line it is the folder in which the command runs.
  Config set = Config::parse("a = 'data'", "--set a=data");
  EXPECT_EQ(set.path("a", "", ""), std::filesystem::current_path() / "data");
}

TEST(ConfigTest, ValuesOfTheCommandLineAreNamedByIt) {
  Config config = Config::parse("alpha = -1", "--set alpha=-1");
  try {
    config.number("alpha", 1.0, {.min = 0}, "strength");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "--set alpha=-1: alpha is -1, but must be at least 0 (strength).");
  }
}

TEST(ConfigTest, NamesTheKeyThatNobodyReadAndTheNearestOne) {
  const auto read = [](Config& c) {
    c.number("alpha", 1.0, {}, "");
    c.table("schedule").integer("epochs", 1, {}, "");
    c.finish();
  };
  EXPECT_EQ(refusal("alpha = 1\nalhpa = 2", read), "p.toml:2:1: unknown key alhpa; did you mean 'alpha'?");
  EXPECT_EQ(refusal("alpha = 1\n  alph = 2", read), "p.toml:2:3: unknown key alph; did you mean 'alpha'?");
  EXPECT_EQ(refusal("zeta = 1", read), "p.toml:1:1: unknown key zeta");
  EXPECT_EQ(refusal("[schedule]\nepoch = 3", read),
            "p.toml:2:1: unknown key schedule.epoch; did you mean 'epochs'?");
  EXPECT_EQ(refusal("[shedule]\nepochs = 3", read),
            "p.toml:1:2: unknown key shedule; did you mean 'schedule'?");
  EXPECT_EQ(refusal("alpha = 1\n[schedule]\nepochs = 3", read), "");
  EXPECT_EQ(refusal("a = 1", [](Config& c) { c.finish(); }),
            "p.toml:1:1: unknown key a; there are no options here");
}

TEST(ConfigTest, ATableThatIsNotGivenIsEmpty) {
  Config config = Config::parse("");
  Config table = config.table("schedule");
  EXPECT_EQ(table.integer("epochs", 5, {}, ""), 5);
  EXPECT_FALSE(table.is_recording());
  EXPECT_NO_THROW(config.finish());
}

TEST(ConfigTest, FailTellsThePlaceOfTheValue) {
  EXPECT_EQ(refusal("a = 1\nb = 2", [](Config& c) { c.fail("b", "b must not be a."); }),
            "p.toml:2:5: b must not be a.");
  EXPECT_EQ(refusal("a = 1", [](Config& c) { c.fail("b", "b must not be a."); }),
            "p.toml:1:1: b must not be a.");
  Config recording = Config::recording();
  EXPECT_THROW(recording.fail("b", "b must not be a."), Error);
}

TEST(ConfigTest, ASyntaxErrorHasItsPlace) {
  try {
    Config::parse("a = 1\nb = ]", "p.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_TRUE(std::string(error.what()).starts_with("p.toml:2:5: ")) << error.what();
  }
}

TEST(ConfigTest, AParsedTableKeepsItsNameAndPlaces) {
  const auto file = std::make_shared<const toml::table>(
      toml::parse("[modulation]\nalpha = -1", std::string_view("p.toml")));
  const std::shared_ptr<const toml::table> table(file, (*file)["modulation"].as_table());
  Config config = make_config(table, "modulation");
  EXPECT_TRUE(config.has("alpha"));
  try {
    config.number("alpha", 1.0, {.min = 0}, "strength");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "p.toml:2:9: modulation.alpha is -1, but must be at least 0 (strength).");
  }
  EXPECT_EQ(where(*file->get("modulation")), "p.toml:1:1");
  EXPECT_EQ(where(toml::table()), "");
}

}  // namespace
}  // namespace poise
