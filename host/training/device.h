#pragma once

#include <string>

namespace poise {

/// "cpu" or "cuda:N" for what `--device` says: auto, cpu, cuda or cuda:N. Opens LibTorch's CUDA library when a
/// CUDA device is asked for, or found. Throws Error (usage) when the one asked for is not to be had.
std::string resolve_device(const std::string& asked);

}  // namespace poise
