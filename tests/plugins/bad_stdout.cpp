// Writes to stdout, which is for results.
#include <cstdio>

#include "poise/modulation.h"
#include "poise/plugin.h"

namespace {

class BadStdout : public poise::Modulation {
 public:
  explicit BadStdout(poise::Config& /*config*/) {}
  void begin(poise::Trainer& /*trainer*/) override { std::puts("bad_stdout begins"); }
};

}  // namespace

POISE_MODULATION(BadStdout, "bad_stdout", "a plugin of the tests");
