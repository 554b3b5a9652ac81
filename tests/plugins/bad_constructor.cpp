// Its constructor throws what Poise does not know.
#include <stdexcept>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadConstructor : public poise::Modulation {
 public:
  explicit BadConstructor(poise::Config& /*config*/) { throw std::runtime_error("no luck today"); }
};

}  // namespace

POISE_MODULATION(BadConstructor, "bad_constructor", "a plugin of the tests");
