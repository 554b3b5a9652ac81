#pragma once

#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

namespace poise {

/// A module's buffers as they are when this is made, for passes whose features no prediction will see, so that running
/// statistics do not count them. They must be put back after the backward pass of those passes: autograd refuses a
/// buffer that was written to before.
class KeptBuffers {
 public:
  explicit KeptBuffers(const torch::nn::Module& module);
  void put_back() const;

 private:
  std::vector<torch::Tensor> buffers_;  ///< the module's own
  std::vector<torch::Tensor> values_;
};

}  // namespace poise
