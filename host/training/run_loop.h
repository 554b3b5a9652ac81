#pragma once

#include "training/run.h"

namespace poise {

/// train() after its checks: data, network, epochs, test, result.
Outcome run_loop(const RunRequest& request, const RunPlugins& plugins, Progress& progress);

}  // namespace poise
