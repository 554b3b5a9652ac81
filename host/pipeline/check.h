#pragma once

#include <iosfwd>

#include "pipeline/pipeline.h"

namespace poise {

/// Prints what each run of a pipeline would do: all that is known without data.
void describe(const Pipeline& pipeline, std::ostream& out);

}  // namespace poise
