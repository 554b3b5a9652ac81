#include "training/device.h"

#include <dlfcn.h>

#include <filesystem>

#include <torch/cuda.h>

#include "poise/error.h"

namespace poise {
namespace {

/// LibTorch registers its CUDA half when the library is opened. It is never closed. Empty, or why not.
std::string open_cuda() {
  // Without a driver the gigabytes of CUDA libraries need not be touched.
  if (!std::filesystem::exists("/dev/nvidiactl")) return "this machine has no NVIDIA driver";
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) return dlerror();
  if (!torch::cuda::is_available()) return "LibTorch finds no usable CUDA device";
  return "";
}

}  // namespace

std::string resolve_device(const std::string& asked) {
  if (asked == "cpu") return asked;
  if (asked == "auto") return open_cuda().empty() ? "cuda:0" : "cpu";
  const bool numbered = asked.starts_with("cuda:") && asked.size() > 5 && asked.size() < 9 &&
                        asked.find_first_not_of("0123456789", 5) == std::string::npos;
  if (asked != "cuda" && !numbered) {
    throw Error("--device is '" + asked + "', but must be auto, cpu, cuda or cuda:N.", Fault::usage);
  }
  if (const std::string why = open_cuda(); !why.empty()) {
    throw Error("--device " + asked + " is not to be had: " + why + ". Use --device cpu.", Fault::usage);
  }
  const int index = numbered ? std::stoi(asked.substr(5)) : 0;
  if (index >= static_cast<int>(torch::cuda::device_count())) {
    throw Error("--device " + asked + " is not to be had: there are " +
                    std::to_string(torch::cuda::device_count()) + " CUDA devices, counted from 0.",
                Fault::usage);
  }
  return "cuda:" + std::to_string(index);
}

}  // namespace poise
