#include "poise/heads.h"

#include <string>

#include "poise/error.h"

namespace poise {

std::vector<torch::nn::Linear> add_heads(Trainer& trainer) {
  const Network& network = trainer.network();
  std::vector<torch::nn::Linear> heads;
  for (int m = 0; m < network.modalities(); ++m) {
    heads.emplace_back(torch::nn::LinearOptions(network.width(m), network.outputs()));
    trainer.add_module("head_" + network.modality_name(m), heads.back().ptr(), {m});
  }
  return heads;
}

torch::nn::Linear add_shared_head(Trainer& trainer) {
  const Network& network = trainer.network();
  for (int m = 1; m < network.modalities(); ++m) {
    if (network.width(m) == network.width(0)) continue;
    throw Error("it has one head for all modalities, so that their encoders must have one width, but " +
                    network.modality_name(0) + " has " + std::to_string(network.width(0)) + " and " +
                    network.modality_name(m) + " " + std::to_string(network.width(m)) +
                    ": give the encoders the same width.",
                Fault::usage);
  }
  torch::nn::Linear head(network.width(0), network.outputs());
  trainer.add_module("head", head.ptr());
  return head;
}

}  // namespace poise
