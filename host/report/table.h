#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "report/summary.h"

namespace poise {

/// The comparison of methods as text, the same in the terminal and on the page.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> legend;  ///< what the columns mean, a sentence or two each
};

/// One row a method. Accuracies and differences are in percent, mean ± standard deviation over seeds. A group's
/// name says what differs between methods, the fusion too.
Table make_table(const Summary& summary);

/// The first sentence, the table, the runs' hashes and the notes. Control characters of names are replaced,
/// so that no name reaches into the terminal.
void print_text(const Summary& summary, std::ostream& out);

}  // namespace poise
