#pragma once

#include <cstddef>
#include <vector>

#include <torch/types.h>

#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"

namespace poise::reference {

/// Acts inside encoders that run in stages, with gates that can be replaced. x_m: modality m's maps after its second
/// stage, s_m: their mean over the pixels.
///
///   j = tanh(sum_m s_m U_m^T),   e_m = 2 sigmoid(j V_m^T),   x_m <- e_m x_m,   z = sum_m f_m W_m^T + b
class GatesFusion final : public Fusion, public IntermediateFusion, public GateSwitch {
 public:
  void build(const FusionSpec& spec) override;
  std::vector<torch::Tensor> encode(const std::vector<StagedEncoder*>& encoders,
                                    const std::vector<torch::Tensor>& inputs) override;
  FusionOutput forward(const std::vector<torch::Tensor>& features,
                       const std::vector<torch::Tensor>& lengths) override;
  void replace_gates(const torch::Tensor& replaced) override { replaced_ = replaced; }

 private:
  torch::Tensor switched(const torch::Tensor& gate, std::size_t m);

  std::vector<torch::Tensor> squeeze_;  ///< U_m
  std::vector<torch::Tensor> excite_;   ///< V_m
  std::vector<torch::Tensor> weights_;  ///< W_m
  torch::Tensor bias_;
  std::vector<torch::Tensor> averages_;  ///< of e_m over the training steps, [channels]
  torch::Tensor steps_;                  ///< how many
  torch::Tensor replaced_;
};

}  // namespace poise::reference
