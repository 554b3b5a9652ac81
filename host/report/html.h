#pragma once

#include <string>

#include "report/summary.h"

namespace poise {

/// The page of a report: one HTML text with its data and the charting library inside, which opens without a
/// network. Made from report.html and chart.min.js, which lie in ../share/poise seen from the executable;
/// throws Error when they are not there.
std::string html_page(const Summary& summary);

}  // namespace poise
