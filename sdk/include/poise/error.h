#pragma once

#include <stdexcept>
#include <string>

namespace poise {

/// Who can act on an error; decides the exit status of `poise`.
enum class Fault {
  run,     ///< a run failed (status 1)
  usage,   ///< wrong use or configuration (status 2)
  plugin,  ///< a plugin was refused (status 3)
};

/// The one exception of Poise. Its text is a sentence for the person who can act: what is wrong, where, and
/// what to do. The host adds the name of the plugin that threw it.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& sentence, Fault fault = Fault::run);
  ~Error() override;
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;

  [[nodiscard]] Fault fault() const noexcept { return fault_; }

 private:
  Fault fault_;
};

}  // namespace poise
