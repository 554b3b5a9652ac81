#include "analysis/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>
#include <string>

#include "analysis/test_runs.h"
#include "poise/error.h"

namespace poise {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::result;
using ::testing::StartsWith;
using testing::write_run;

class ReportTest : public ::testing::Test {
 protected:
  std::string printed() const {
    std::ostringstream out;
    report_folder(path_, out);
    return out.str();
  }
  std::string page() const {
    printed();
    return read_file(path_ / "report.html");
  }
  /// What the page's script reads, cut out as an HTML parser does it: up to the first end tag.
  json data_of_page() const {
    const std::string html = page();
    const std::string begin = R"(<script type="application/json" id="data">)";
    const auto from = html.find(begin) + begin.size();
    return json::parse(html.substr(from, html.find("</script", from) - from));
  }

  testing::TemporaryFolder folder_;
  const std::filesystem::path& path_ = folder_.path();
};

TEST_F(ReportTest, TheFirstSentenceNamesTheStarvedModalityAndTheGap) {
  testing::write_comparison(path_);
  EXPECT_THAT(printed(),
              StartsWith("Joint training starves audio: shown alone to the joint model it reaches 42.0 %, "
                         "trained alone 95.0 % (gap 53.0 points, 2 seeds).\n"));
}

TEST_F(ReportTest, TheTableRanksMethodsByTheirMeansAndShowsIntervals) {
  testing::write_comparison(path_);
  // The interval of two values reaches t(0.975, 1) / 2 = 6.3531 times their distance to either side: 0.02 gives
  // 12.7 points, 0.04 gives 25.4, 0.10 gives 63.5. AGM gains 3 and 5 points on joint training, so t is 4 / 1, and
  // p is 2 atan(1 / 4) / pi = 0.156; (12.706 + 1.376) / 1 points would be found. Its audio lacks 24 and 16 points.
  const std::string text = printed();
  EXPECT_THAT(text, HasSubstr(
                        R"(
method         seeds     accuracy        audio        image         gap          to joint      p  detectable  passes  seconds
-----------------------------------------------------------------------------------------------------------------------------
agm alpha=1.5      2  95.0 ± 25.4  75.0 ± 63.5  89.0 ± 12.7  20.0 audio  +4.0 ± 12.7 n.s.  0.156        14.1   1/1/1     14.0
joint              2  91.0 ± 12.7  42.0 ± 25.4  89.0 ± 12.7  53.0 audio                 -      -           -   1/1/1     14.0
audio alone        2  95.0 ± 12.7  95.0 ± 12.7            -           -                 -      -           -   1/1/1     14.0
image alone        2  90.0 ± 12.7            -  90.0 ± 12.7           -                 -      -           -   1/1/1     14.0
)"));
  EXPECT_THAT(text, HasSubstr("\n  agm alpha=1.5  0:" + sha256("agm alpha=1.5 seed=0").substr(0, 8) +
                              "  1:" + sha256("agm alpha=1.5 seed=1").substr(0, 8) + "\n"));
}

TEST_F(ReportTest, TheBestThatIsPossibleStandsBelow) {
  auto joint = result("joint", 0, 0.8, {{"audio", 0.4}, {"image", 0.7}});
  joint["best"] = {{"score", 0.875}, {"modality_score", {{"audio", 0.5}, {"image", 0.75}}}};
  write_run(path_ / "a", joint);
  auto agm = result("agm", 0, 0.8, {{"audio", 0.4}, {"image", 0.7}});
  agm["best"] = joint["best"];
  write_run(path_ / "b", agm);
  EXPECT_TRUE(std::regex_search(printed(), std::regex("best possible +- +87\\.5 +50\\.0 +75\\.0 +- +-")));
  agm["best"]["score"] = 0.9;  // of other data
  write_run(path_ / "b", agm);
  EXPECT_THAT(printed(), Not(HasSubstr("best possible")));
}

TEST_F(ReportTest, OneSeedHasNoIntervalAndProvesNothing) {
  write_run(path_ / "a", result("joint", 0, 0.9, {{"audio", 0.4}}));
  write_run(path_ / "b", result("agm", 0, 0.95, {{"audio", 0.4}}));
  const std::string text = printed();
  EXPECT_TRUE(std::regex_search(text, std::regex("joint +1 +90\\.0 +40\\.0 +- +- +- +- ")));
  EXPECT_TRUE(std::regex_search(text, std::regex("agm +1 +95\\.0 +40\\.0 +- +\\+5\\.0 n\\.s\\. +- +- ")))
      << text;
}

TEST_F(ReportTest, AGainThatCanBeToldFromZeroIsShownSo) {
  for (const int seed : {0, 1, 2}) {
    const std::string name = std::to_string(seed);
    write_run(path_ / ("joint_" + name), result("joint", seed, 0.80 + 0.01 * seed, {{"audio", 0.4}}));
    // Gains of 9, 10 and 11 points: t = 10 / (1 / sqrt(3)), p = 1 - t / sqrt(t t + 2) = 0.0033.
    write_run(path_ / ("agm_" + name), result("agm", seed, 0.89 + 0.02 * seed, {{"audio", 0.4}}));
  }
  EXPECT_THAT(printed(), HasSubstr("  +10.0 ± 2.5  0.003 "));
}

TEST_F(ReportTest, EachConditionHasItsTableAndAllComparisonsAreCorrectedTogether) {
  for (const std::string snr : {"noise_snr=0", "noise_snr=inf"}) {
    for (const int seed : {0, 1}) {
      for (const std::string method : {"joint", "agm alpha=1.5"}) {
        const double gain = method == "joint" ? 0 : 0.03 + 0.02 * seed;
        json object = result(method + " " + snr, seed, 0.9 + gain, {{"audio", 0.4}});
        object["condition"] = snr;
        write_run(path_ / (method.substr(0, 3) + snr + std::to_string(seed)), object);
      }
    }
  }
  const std::string text = printed();
  EXPECT_THAT(text, StartsWith("noise_snr=0: Whether joint training starves a modality cannot be said"));
  EXPECT_THAT(text, HasSubstr("\nnoise_snr=inf: Whether joint training starves a modality cannot be said"));
  // Two tests of p = 0.156 each: Holm makes it 0.312. Names are without what the table's title says.
  const std::regex row(
      "agm alpha=1\\.5 +2 +94\\.0 ± [0-9.]+ +40\\.0 ± 0\\.0 +- +\\+4\\.0 ± 12\\.7 n\\.s\\. +0\\.312 ");
  EXPECT_EQ(std::distance(std::sregex_iterator(text.begin(), text.end(), row), std::sregex_iterator()), 2)
      << text;
  EXPECT_THAT(text, HasSubstr("\n  agm alpha=1.5 noise_snr=inf  0:"));
  const json data = data_of_page();
  ASSERT_EQ(data.at("conditions").size(), 2U);
  EXPECT_EQ(data.at("conditions").at(1).at("name"), "noise_snr=inf");
  EXPECT_EQ(data.at("conditions").at(1).at("table").at("rows").at(0).at(0), "agm alpha=1.5");
}

TEST_F(ReportTest, TheSettingThatValidationSelectsIsMarked) {
  for (const auto& [alpha, validation] :
       std::map<std::string, double>{{"1", 0.85}, {"2", 0.95}, {"3", 0.75}}) {
    json object = result("agm alpha=" + alpha, 0, 0.9, {{"audio", 0.4}});
    object["validation"]["accuracy"] = validation;
    object["test"]["accuracy"] = 0.99 - validation / 10;  // the other way round: test selects nothing
    write_run(path_ / alpha, object);
  }
  write_run(path_ / "joint", result("joint", 0, 0.9, {{"audio", 0.4}}));
  const std::string text = printed();
  EXPECT_TRUE(std::regex_search(text, std::regex("method +seeds +validation +accuracy "))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("agm alpha=2 \\* +1 +95\\.0 +89\\.5 "))) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '*'), 2) << "one row and the legend:\n" << text;
  EXPECT_THAT(
      text,
      HasSubstr("\n*: of a method's settings the one with the best mean accuracy of the validation split."));
}

TEST_F(ReportTest, PassesBesideTheStepsAreCounted) {
  json object = result("agm", 0, 0.9, {{"audio", 0.4}});
  object["cost"]["extra_passes_per_epoch"] = 2.5;
  write_run(path_ / "a", object);
  EXPECT_THAT(printed(), HasSubstr("  1/1/1 +2.5  "));
}

TEST_F(ReportTest, ThePageHoldsTheTableAndTheCurves) {
  testing::write_comparison(path_);
  const json data = data_of_page();
  EXPECT_EQ(data.at("title"), "Spoken and written digits");
  const json& condition = data.at("conditions").at(0);
  EXPECT_THAT(condition.at("headline").get<std::string>(), StartsWith("Joint training starves audio"));
  EXPECT_EQ(condition.at("table").at("rows").at(0).at(6), "+4.0 ± 12.7 n.s.");
  const json& agm = condition.at("methods").at(0);
  EXPECT_EQ(agm.at("group"), "agm alpha=1.5");
  EXPECT_NEAR(agm.at("to_joint").at("difference").at("mean").get<double>(), 0.04, 1e-12);
  EXPECT_EQ(agm.at("runs").at(1).at("epochs").at(1).at("recorded").at("kappa").at("audio"), 1.2);
  EXPECT_EQ(agm.at("runs").at(0).at("provenance").at("torch"), "2.11.0");
}

TEST_F(ReportTest, ThePageOpensWithoutANetwork) {
  testing::write_comparison(path_);
  const std::string html = page();
  // What a browser fetches stands in src, href, url() or @import; the page has none of them outside the
  // library.
  const std::string library = read_file(std::filesystem::read_symlink("/proc/self/exe").parent_path() /
                                        "../share/poise/chart.min.js");
  const auto position = html.find(library);
  ASSERT_NE(position, std::string::npos) << "the charting library is not in the page";
  const std::string rest = html.substr(0, position) + html.substr(position + library.size());
  EXPECT_FALSE(
      std::regex_search(rest, std::regex(R"(\s(src|href|action)\s*=|url\(|@import|fetch\(|https?://)")));
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
}

TEST_F(ReportTest, NamesCannotBecomeMarkupOrControlTheTerminal) {
  json hostile = result("joint </script><b>\x1b[31m", 0, 0.9, {{"audio", 0.4}});
  hostile["title"] = "</script><script>alert(1)</script><!-- /* data */";
  hostile["provenance"] = {{"host", "<img src=x onerror=alert(1)>"}};
  write_run(path_ / "a", hostile);

  const std::string text = printed();
  EXPECT_THAT(text, AllOf(HasSubstr("joint </script><b>?[31m"), Not(HasSubstr("\x1b"))));
  const std::string html = page();
  for (const std::string markup : {"</script><b>", "<script>alert", "<img"}) {
    EXPECT_EQ(html.find(markup), std::string::npos) << markup;
  }
  const json data = data_of_page();
  EXPECT_EQ(data.at("title"), hostile.at("title"));
  EXPECT_EQ(data.at("conditions").at(0).at("methods").at(0).at("group"), "joint </script><b>\x1b[31m");
}

TEST_F(ReportTest, DamagedRunsAreNamedAndTheOthersShown) {
  testing::write_comparison(path_);
  write_file(path_ / "agm_1" / "result.json", "{");
  const std::string text = printed();
  EXPECT_THAT(text, HasSubstr("Note: agm_1 is left out, its result.json is damaged"));
  EXPECT_TRUE(std::regex_search(text, std::regex("agm alpha=1\\.5 +1 +93\\.0 "))) << text;
  EXPECT_THAT(data_of_page().at("notes").at(0).get<std::string>(), HasSubstr("agm_1 is left out"));
}

TEST_F(ReportTest, JsonSaysTheSameAndWritesNoPage) {
  testing::write_comparison(path_);
  std::ostringstream out;
  report_folder_as_json(path_, out);
  const json data = json::parse(out.str());
  const json& condition = data.at("conditions").at(0);
  EXPECT_THAT(condition.at("headline").get<std::string>(), HasSubstr("gap 53.0 points"));
  const json& joint = condition.at("methods").at(1);
  EXPECT_NEAR(joint.at("gaps").at("audio").at("difference").at("mean").get<double>(), 0.53, 1e-12);
  EXPECT_NEAR(joint.at("score").at("mean").get<double>(), 0.91, 1e-12);
  EXPECT_TRUE(joint.at("to_joint").is_null());
  const json& gain = condition.at("methods").at(0).at("to_joint");
  EXPECT_NEAR(gain.at("p").get<double>(), 0.15596, 1e-5);
  EXPECT_EQ(gain.at("adjusted_p"), gain.at("p")) << "the only comparison";
  EXPECT_EQ(gain.at("is_significant"), false);
  EXPECT_FALSE(std::filesystem::exists(path_ / "report.html"));
}

TEST_F(ReportTest, AFolderWithoutFinishedRunsIsWrongUseAndSaysWhatIsThere) {
  write_run(path_ / "joint_0", result("joint", 0, 0.9, {{"audio", 0.4}}));
  std::filesystem::remove(path_ / "joint_0" / "result.json");
  try {
    printed();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no finished run in " + path_.string()),
                                    HasSubstr("joint_0 is left out: it is not finished")));
  }
}

TEST_F(ReportTest, APageThatCannotBeWrittenComesAfterTheTable) {
  testing::write_comparison(path_);
  std::filesystem::create_directory(path_ / "report.html");  // refuses to be replaced by a file, even by root
  std::ostringstream out;
  try {
    report_folder(path_, out);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("cannot write " + (path_ / "report.html").string() + ": Is a directory"));
  }
  EXPECT_THAT(out.str(), HasSubstr("agm alpha=1.5"));
}

}  // namespace
}  // namespace poise
