#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "poise/config.h"
#include "poise/conformance.h"
#include "tensors.h"

/// What the files of the suite share.
namespace poise::conformance {

using testing::Check;
using testing::Finding;
using testing::Outcome;
using testing::Subject;

// One list a file.
std::vector<Check> any_checks();
std::vector<Check> dataset_checks();
std::vector<Check> dataset_sample_checks();
std::vector<Check> encoder_checks();
std::vector<Check> fusion_checks();
std::vector<Check> modulation_declaration_checks();
std::vector<Check> modulation_checks();
std::vector<Check> modulation_state_checks();

// What an object of the kind is and computes after the seed, for the checks of every kind; empty where it cannot be
// built here.
Tensors dataset_result(const Subject& subject);
Tensors encoder_result(const Subject& subject);
Tensors fusion_result(const Subject& subject);
Tensors modulation_result(const Subject& subject);

inline Finding passed() { return {Outcome::passed, ""}; }
inline Finding skipped(std::string sentence) { return {Outcome::skipped, std::move(sentence)}; }
inline Finding warning(std::string sentence) { return {Outcome::warning, std::move(sentence)}; }
inline Finding failed(std::string sentence) { return {Outcome::failed, std::move(sentence)}; }

/// The parts one after the other.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// The finding of several cases: the first failure, else the first warning, else passed if any did.
class Findings {
 public:
  /// True when there is no need to go on.
  bool add(const std::string& label, Finding finding);
  [[nodiscard]] Finding overall() const { return overall_; }

 private:
  Finding overall_{Outcome::skipped, "there is no case for it"};
};

/// `options` without the keys that `more` sets, then `more`; both TOML, a line a key.
std::string merged(const std::string& options, const std::string& more);

/// The plugin with the subject's options and, in their place or beside them, `more`.
template <class Interface>
std::shared_ptr<Interface> make(const Subject& subject, const std::string& more = "") {
  auto config = Config::parse(merged(subject.options, more));
  std::shared_ptr<Interface> object(static_cast<Interface*>(subject.plugin->create(&config)));
  config.finish();
  return object;
}

}  // namespace poise::conformance
