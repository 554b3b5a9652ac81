#pragma once

#include <string>
#include <vector>

#include <toml++/toml.h>

#include "poise/config.h"

namespace poise {

/// The names of a run. Runs of one group differ in the seed only.
struct Label {
  std::string group;  ///< "agm alpha=1.5 noise_snr=0"
  std::string run;    ///< "agm alpha=1.5 noise_snr=0 seed=0"
  std::string
      condition;  ///< "noise_snr=0": the end of the group, what the data are; "" where they do not vary
};

/// What labels are made from beside the run's tables: the options that its plugins have declared.
struct Labelled {
  const toml::table& table;        ///< of the whole run
  std::vector<std::string> axes;   ///< of the matrix
  std::vector<Option> modulation;  ///< declared options
  std::vector<Option> fusion;
  std::string alone;  ///< the one modality of a run that trains it alone, else ""
};

/// The modulation with those of its options that are not at their defaults; the fusion where it is an axis;
/// the other axes by the last part of their keys, those of the dataset at the end. Axes that do not act on a
/// modality trained alone are left out.
Label make_label(const Labelled& run);

}  // namespace poise
