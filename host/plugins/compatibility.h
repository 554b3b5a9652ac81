#pragma once

#include <string>
#include <vector>

#include "plugins/manifest.h"

namespace poise {

/// What this host was built with, in the fields of a manifest's [built_with].
const Identity& host_identity();

/// Why a plugin cannot be used by `host`: one sentence a field that differs or is missing, naming what the
/// plugin was built for, what the host is, and which build to get. Empty when it can be used. Looks at
/// nothing but its arguments, so that listing, installing and loading say the same.
///
/// - interface: one that this host knows, poise.KIND/1.
/// - sdk: the same major and a minor that is not newer; before 1.0, where every minor may break, the same
/// minor.
/// - every other field of `host`: equal. That holds for LibTorch's variant too: a manifest does not tell
/// whether
///   a library uses CUDA, and "probably fine" ends in a crash.
/// - fields that the host does not know: no difference.
std::vector<std::string> mismatches(const Manifest& manifest, const Identity& host);

}  // namespace poise
