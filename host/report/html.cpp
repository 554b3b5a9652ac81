#include "report/html.h"

#include <filesystem>

#include "poise/error.h"
#include "poise/files.h"
#include "report/json.h"
#include "report/table.h"

namespace poise {
namespace {

using nlohmann::json;

std::string shared_file(const std::string& name) {
  const auto bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const auto path = bin.parent_path() / "share" / "poise" / name;
  try {
    return read_file(path);
  } catch (const Error& error) {
    throw Error(std::string("the page of the report cannot be made: ") + error.what() +
                "; it is a part of Poise: install or build Poise again");
  }
}

json page_data(const Summary& summary) {
  json data = to_json(summary);
  for (std::size_t c = 0; c < summary.conditions.size(); ++c) {
    const ConditionSummary& condition = summary.conditions[c];
    json& object = data["conditions"][c];
    for (std::size_t m = 0; m < condition.methods.size(); ++m) {
      const auto& runs = condition.methods[m].runs;
      for (std::size_t r = 0; r < runs.size(); ++r)
        object["methods"][m]["runs"][r]["epochs"] = runs[r].epochs;
    }
    const Table table = make_table(summary, condition);
    object["table"] = {{"columns", table.columns}, {"rows", table.rows}};
  }
  data["legend"] = legend(summary);
  return data;
}

/// JSON that no HTML parser takes for markup: '<' stands in strings only, where it may be written as an
/// escape.
std::string embeddable(const json& data) {
  std::string text;
  for (const char character : data.dump(-1, ' ', true, json::error_handler_t::replace)) {
    if (character == '<') {
      text += "\\u003c";
    } else {
      text += character;
    }
  }
  return text;
}

/// Writes `content` in the place of `mark`, which the template has once.
void fill(std::string& page, const std::string& mark, const std::string& content) {
  const auto position = page.find(mark);
  if (position == std::string::npos) throw Error("the report's template has no " + mark);
  page.replace(position, mark.size(), content);
}

}  // namespace

std::string html_page(const Summary& summary) {
  std::string page = shared_file("report.html");
  // The data is filled in last: a name in it that looks like a mark stays a name.
  fill(page, "/* chart.min.js */", shared_file("chart.min.js"));
  fill(page, "/* data */", embeddable(page_data(summary)));
  return page;
}

}  // namespace poise
