#pragma once

#include <string>
#include <vector>

#include "report/summary.h"

namespace poise {

/// The report's first sentence: which modality joint training starves and by how much, or why that cannot be
/// said. A modality is starved when the 95 % confidence interval of its gap, over seeds, lies above 0; the
/// one with the largest gap is named. Where there are several joint trainings, a sentence for each of the
/// three with the largest gaps; one that is a variant of another, to which it is compared, has none. `methods`
/// are of the same data.
std::string starvation(const std::vector<MethodSummary>& methods, const std::vector<std::string>& modalities);

}  // namespace poise
