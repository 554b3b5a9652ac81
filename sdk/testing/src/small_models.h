#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "poise/intermediate.h"
#include "poise/reference_network.h"

/// Networks and data of a few numbers, with all that makes modulations differ.
namespace poise::reference {

struct Design {
  int modalities = 2;
  bool additive = true;      ///< the fusion: a sum of shares; else a hidden layer with BatchNorm and dropout
  bool convolutions = true;  ///< the encoders: a convolution; else linear layers alone
  bool norm = false;         ///< BatchNorm in the encoders
  bool gates = false;        ///< instead: the fusion acts inside the encoders, and has gates (gates_fusion.h)
  TaskKind task = TaskKind::classification;
  torch::Dtype dtype = torch::kFloat;
};

/// "2 modalities, additive fusion, convolutional encoders with BatchNorm"
std::string described(const Design& design);

/// Modalities are "m0", "m1", ... of one shape, and swapping two in the names of the tensors swaps them in the network.
/// The same seed gives the same weights.
Network make_network(const Design& design, std::uint64_t seed);

/// Random samples for it, of three classes, labels or numbers.
Batch make_data(const Design& design, std::int64_t rows, std::uint64_t seed);
/// The samples `ids` of `data`.
Batch take(const Batch& data, const torch::Tensor& ids);

/// An encoder of images in four stages, for fusions that act between them.
class StagedImages final : public Encoder, public StagedEncoder {
 public:
  explicit StagedImages(std::int64_t width) : width_(width) {}

  void build(const Modality& modality) override;
  [[nodiscard]] std::int64_t width() const override { return width_; }
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& lengths) override;
  [[nodiscard]] bool modes_agree() const override { return true; }
  [[nodiscard]] std::vector<std::int64_t> stage_channels() const override { return {4, 4, 6, 8}; }
  torch::Tensor stage(std::size_t index, const torch::Tensor& x) override;
  torch::Tensor pool(const torch::Tensor& x) override;

 private:
  std::int64_t width_;
  std::vector<torch::Tensor> kernels_;  ///< [channels, channels before, 3, 3]
  torch::Tensor projection_;            ///< [width, channels]
};

}  // namespace poise::reference
