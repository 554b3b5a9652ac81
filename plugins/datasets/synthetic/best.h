#pragma once

#include <poise/subset.h>

#include "parameters.h"

namespace synthetic {

/// The best expected score of a model that sees these modalities: see poise::Ceiling.
double best_score(const Parameters& p, poise::Subset modalities);

}  // namespace synthetic
