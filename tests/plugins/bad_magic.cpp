// Exports poise_plugin with a magic number that is not Poise's.
#include "poise/identity.h"

extern "C" {
__attribute__((visibility("default"))) extern const std::uint64_t poise_plugin[2];
const std::uint64_t poise_plugin[2] = {0x1234, sizeof(PoisePlugin)};
}
