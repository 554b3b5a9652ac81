// Exports poise_plugin with its first two fields alone.
#include "poise/identity.h"

extern "C" {
__attribute__((visibility("default"))) extern const std::uint64_t poise_plugin[2];
const std::uint64_t poise_plugin[2] = {poise::plugin_magic, sizeof(poise_plugin)};
}
