#pragma once

#include <cstdint>
#include <string>

#include <torch/types.h>

namespace poise {

/// A checkpoint's view of what must survive a restart. The same Modulation::visit() serves saving and
/// restoring: each call either reads the variable or sets it. Restoring throws Error for a name that the
/// checkpoint lacks.
class State {
 public:
  virtual ~State();

  virtual void scalar(const std::string& name, double& value) = 0;
  virtual void scalar(const std::string& name, std::int64_t& value) = 0;
  /// May be undefined.
  virtual void tensor(const std::string& name, torch::Tensor& value) = 0;
};

}  // namespace poise
