#pragma once

#include <ATen/ATen.h>
#include <torch/types.h>

#include "poise/trainer.h"

namespace opm {

/// The objective of the fused features b_m f_m / (1 - theta), as a mean over the samples that keep a modality.
/// masks: b, [B, k], 1 where a sample keeps a modality, else 0; theta: a scalar. No gradient flows through either, so
/// that the gradient of f_m is b_m / (1 - theta) times the one that arrives. Never waits for the device.
inline torch::Tensor masked_loss(const poise::Batch& batch, const torch::Tensor& masks,
                                 const torch::Tensor& theta, poise::Trainer& trainer) {
  auto& network = trainer.network();
  const auto& features = network.features(batch);
  const torch::Tensor keep = (masks / (1 - theta)).to(features.front().scalar_type());
  const torch::Tensor z = network.fuse(batch, features, keep).logits;

  // Samples that keep nothing leave the batch by a weight of 0, and the mean is over the others.
  const torch::Tensor stays = masks.sum(1) > 0;  // [B]
  const torch::Tensor weight = stays.to(at::kFloat);
  poise::Batch left = batch;
  left.weights = batch.weights.defined() ? batch.weights * weight : weight;
  const torch::Tensor loss = trainer.objective().loss(z, left);
  const torch::Tensor part = stays.to(at::kDouble).mean().clamp_min(1 / static_cast<double>(batch.size()));
  return loss / part.to(loss.scalar_type());
}

}  // namespace opm
