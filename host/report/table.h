#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "report/summary.h"

namespace poise {

/// Methods on the same data as text, the same in the terminal and on the page.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

/// One row a method, the best first. Scores and differences are in percent, mean ± half of the 95 % confidence
/// interval over seeds. A method's name says what differs between methods, the fusion too.
Table make_table(const Summary& summary, const ConditionSummary& condition);

/// What the columns of all tables mean, a sentence or two each.
std::vector<std::string> legend(const Summary& summary);

/// For each condition the first sentence and the table; the runs' hashes and the notes. Control characters of
/// names are replaced, so that no name reaches into the terminal.
void print_text(const Summary& summary, std::ostream& out);

}  // namespace poise
