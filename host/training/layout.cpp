#include "training/layout.h"

namespace poise {

bool channels_last(const torch::Tensor& weight) { return weight.dim() == 4; }

torch::Tensor channels_last_input(const torch::Tensor& input) {
  if (input.dim() != 4 || !input.is_cpu()) return input;
  if (input.size(1) != 1) return input.contiguous(at::MemoryFormat::ChannelsLast);
  // The strides of a single channel are ambiguous, and LibTorch would take them for channels-first: said outright,
  // at no cost.
  return input.squeeze(1).unsqueeze(3).permute({0, 3, 1, 2});
}

}  // namespace poise
