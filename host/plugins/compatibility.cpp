#include "plugins/compatibility.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "poise/identity.h"

namespace poise {
namespace {

constexpr std::array<const char*, 4> kinds = {"dataset", "encoder", "fusion", "modulation"};

/// A field as a person calls it.
std::string label(const std::string& field) {
  static const Identity labels = {{"sdk", "SDK"},
                                  {"torch", "LibTorch"},
                                  {"torch_variant", "LibTorch's variant"},
                                  {"cxx11_abi", "_GLIBCXX_USE_CXX11_ABI"},
                                  {"gxx_abi", "__GXX_ABI_VERSION"},
                                  {"standard", "C++"},
                                  {"debug_containers", "containers of the kind"}};
  const std::string* found = value_of(labels, field);
  return found != nullptr ? *found : field;
}

struct SdkVersion {
  int major = 0;
  int minor = 0;
};

std::optional<SdkVersion> parse_sdk(const std::string& text) {
  SdkVersion version;
  const char* end = text.data() + text.size();
  const auto [dot, major_error] = std::from_chars(text.data(), end, version.major);
  if (major_error != std::errc() || dot == end || *dot != '.') return std::nullopt;
  const auto [rest, minor_error] = std::from_chars(dot + 1, end, version.minor);
  if (minor_error != std::errc() || rest != end) return std::nullopt;
  return version;
}

bool sdk_fits(const std::string& plugin, const std::string& host) {
  const auto built = parse_sdk(plugin);
  const auto ours = parse_sdk(host);
  if (!built || !ours || built->major != ours->major) return false;
  return ours->major == 0 ? built->minor == ours->minor : built->minor <= ours->minor;
}

std::string interface_mismatch(const Manifest& manifest) {
  if (std::ranges::find(kinds, manifest.kind) == kinds.end()) {
    return "It is a plugin of the kind '" + escaped(manifest.kind) +
           "', but this host knows dataset, encoder, fusion and modulation; get a Poise that knows this "
           "kind.";
  }
  const std::string known = "poise." + manifest.kind + "/1";
  if (manifest.interface == known) return "";
  return "It was built for the interface " + escaped(manifest.interface) + ", but this host has " + known +
         "; get the build for " + known + ".";
}

}  // namespace

const Identity& host_identity() {
  static const Identity identity = {{"sdk", POISE_SDK_VERSION},
                                    {"torch", POISE_BUILT_TORCH},
                                    {"torch_variant", POISE_TORCH_VARIANT},
                                    {"platform", POISE_BUILT_PLATFORM},
                                    {"cxx11_abi", POISE_BUILT_CXX11_ABI},
                                    {"gxx_abi", POISE_BUILT_GXX_ABI},
                                    {"standard", POISE_BUILT_STANDARD},
                                    {"debug_containers", POISE_BUILT_CONTAINERS},
                                    {"sanitizer", POISE_BUILT_SANITIZER}};
  return identity;
}

std::vector<std::string> mismatches(const Manifest& manifest, const Identity& host) {
  std::vector<std::string> sentences;
  if (const std::string sentence = interface_mismatch(manifest); !sentence.empty())
    sentences.push_back(sentence);
  for (const auto& [field, ours] : host) {
    const std::string wanted = label(field) + " " + ours;
    const std::string* built = value_of(manifest.built_with, field);
    if (built == nullptr) {
      sentences.push_back(
          fmt::format("Its plugin.toml does not say what it was built for: built_with.{} is missing; get the "
                      "build for {}.",
                      field, wanted));
    } else if (field == "sdk" ? !sdk_fits(*built, ours) : *built != ours) {
      sentences.push_back(fmt::format("It was built for {} {}, but this host has {}; get the build for {}.",
                                      label(field), escaped(*built), wanted, wanted));
    }
  }
  return sentences;
}

}  // namespace poise
