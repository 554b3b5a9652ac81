#include "poise/epoch_window.h"

namespace poise {

EpochWindow EpochWindow::read(Config& config, const EpochWindow& default_value) {
  const auto window = config.integers("window", {default_value.first, default_value.last}, {.min = 0},
                                      "first and last epoch of modulation");
  if (window.size() != 2 || window[0] > window[1]) {
    config.fail("window", "modulation.window must be [first, last] with first <= last.");
  }
  return {window[0], window[1]};
}

}  // namespace poise
