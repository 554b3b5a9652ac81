// Joint training: the loss of the full logits, minimised as it is; what every other method is compared with.
//
//   theta <- theta - update(dL(z, y) / dtheta)
#include <optional>
#include <string>

#include "poise/joint_training.h"
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class Joint : public poise::Modulation {
 public:
  explicit Joint(poise::Config& /*config*/) {}

  [[nodiscard]] std::optional<std::string> neutral_options() const override { return ""; }
};

}  // namespace

POISE_MODULATION(Joint, poise::joint_training, "plain joint training, nothing rebalanced");
