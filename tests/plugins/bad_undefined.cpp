// Needs a function that no library has.
#include "poise/modulation.h"
#include "poise/plugin.h"

namespace elsewhere {
double balance(double strength, int modality);
}

namespace {

class BadUndefined : public poise::Modulation {
 public:
  explicit BadUndefined(poise::Config& /*config*/) : strength_(elsewhere::balance(1.0, 2)) {}

 private:
  double strength_;
};

}  // namespace

POISE_MODULATION(BadUndefined, "bad_undefined", "a plugin of the tests");
