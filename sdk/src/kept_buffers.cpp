#include "poise/kept_buffers.h"

#include <cstddef>

namespace poise {

KeptBuffers::KeptBuffers(const torch::nn::Module& module) : buffers_(module.buffers()) {
  for (const auto& buffer : buffers_) values_.push_back(buffer.detach().clone());
}

void KeptBuffers::put_back() const {
  const torch::NoGradGuard no_gradients;
  // A handle of its own: copy_() is no const function.
  for (std::size_t i = 0; i < buffers_.size(); ++i) torch::Tensor(buffers_[i]).copy_(values_[i]);
}

}  // namespace poise
