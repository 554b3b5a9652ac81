// The multi-modal transfer module (H. R. V. Joze, A. Shaban, M. L. Iuzzolino, K. Koishida, "MMTM: Multimodal
// Transfer Module for CNN Fusion", CVPR 2020) between the stages of two encoders. After each of the chosen stages,
// with x_m the output of modality m's encoder there, C_m channels, m = 1, 2:
//
//   s_m = mean of x_m over all but samples and channels
//   j = relu(W_j [s_1, s_2] + b_j)                       (C_1 + C_2) / ratio units
//   e_m = 2 sigmoid(W_m j + b_m)                         C_m
//   x_m <- e_m * x_m                                     channel by channel
//
// The next stages go on from there. With f_m what the encoders' last parts make of the last x_m:
//
//   z = H [f_1, f_2] + b = sum_m f_m H_m^T + b
//
// A modality alone has no module: z = f H^T + b.
//
// The gates of a modality can be replaced (N. Wu, S. Jastrzebski, K. Cho, K. J. Geras, "Characterizing and
// Overcoming the Greedy Nature of Learning in Multi-modal Deep Neural Networks", ICML 2022) by their running
// average a_m over the training steps so far, this one included, through which no gradient flows. In the n-th
// training step, before use:
//
//   a_m <- a_m + (mean over the batch of e_m - a_m) / n
#include <array>
#include <numeric>
#include <string>
#include <vector>

#include <torch/nn/modules/linear.h>

#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"
#include "poise/plugin.h"

namespace {

/// One transfer module.
class TransferImpl : public torch::nn::Module {
 public:
  TransferImpl(const std::vector<std::string>& modalities, const std::array<std::int64_t, 2>& channels,
               std::int64_t units)
      : squeeze(register_module("squeeze", torch::nn::Linear(channels[0] + channels[1], units))),
        steps_(register_buffer("steps", torch::zeros({}))) {
    for (std::size_t m = 0; m < 2; ++m) {
      excite.emplace_back(register_module("excite_" + modalities[m], torch::nn::Linear(units, channels[m])));
      averages_.push_back(register_buffer("average_" + modalities[m], torch::zeros({channels[m]})));
    }
  }

  /// `replaced`: [2] bool, or undefined for none.
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& x, const torch::Tensor& replaced) {
    const auto j = squeeze(torch::cat({mean(x[0]), mean(x[1])}, 1)).relu();
    if (is_training()) steps_.add_(1);
    std::vector<torch::Tensor> gated;
    for (std::size_t m = 0; m < 2; ++m) {
      auto e = 2 * excite[m](j).sigmoid();
      if (is_training()) e = counted(m, e, replaced);
      while (e.dim() < x[m].dim()) e = e.unsqueeze(-1);
      gated.push_back(x[m] * e);
    }
    return gated;
  }

  torch::nn::Linear squeeze;              // W_j, b_j
  std::vector<torch::nn::Linear> excite;  // W_m, b_m

 private:
  static torch::Tensor mean(const torch::Tensor& x) { return x.dim() > 2 ? x.flatten(2).mean(2) : x; }

  /// Counts modality m's gates e [B, C_m], and gives them or their average.
  torch::Tensor counted(std::size_t m, const torch::Tensor& e, const torch::Tensor& replaced) {
    auto& average = averages_[m];
    average.add_((e.detach().mean(0) - average) / steps_);
    if (!replaced.defined()) return e;
    return torch::where(replaced[static_cast<std::int64_t>(m)], average.to(e.scalar_type()), e);
  }

  // Buffers, so that a run that goes on has them.
  torch::Tensor steps_;                  // n, a floating-point number as the averages
  std::vector<torch::Tensor> averages_;  // a_m [C_m]
};
TORCH_MODULE(Transfer);

class Mmtm : public poise::Fusion, public poise::IntermediateFusion, public poise::GateSwitch {
 public:
  explicit Mmtm(poise::Config& config)
      : stages_(config.integers(
            "stages", {-2, -1}, {},
            "after which stages the modalities exchange; 0 is an encoder's first stage and -1 its last")),
        ratio_(config.integer("ratio", 4, {.min = 1, .max = 1024},
                              "channels of both encoders together for each unit of the joint layer")) {
    if (stages_.empty()) config.fail("stages", "fusion.stages must name at least one stage.");
  }

  void build(const poise::FusionSpec& spec) override {
    check_encoders(spec);
    if (spec.modalities.size() == 2) add_transfers(spec);
    add_head(spec);
  }

  std::vector<torch::Tensor> encode(const std::vector<poise::StagedEncoder*>& encoders,
                                    const std::vector<torch::Tensor>& inputs) override {
    auto x = inputs;
    std::array<std::size_t, 2> next{};
    const auto run_to = [&](std::size_t m, std::size_t end) {
      for (; next[m] < end; ++next[m]) x[m] = encoders[m]->stage(next[m], x[m]);
    };
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
      for (std::size_t m = 0; m < 2; ++m) run_to(m, after_[i][m] + 1);
      x = transfers_[i](x, replaced_);
    }
    for (std::size_t m = 0; m < x.size(); ++m) {
      run_to(m, encoders[m]->stage_channels().size());
      x[m] = encoders[m]->pool(x[m]);
    }
    return x;
  }

  poise::FusionOutput forward(const std::vector<torch::Tensor>& features,
                              const std::vector<torch::Tensor>& /*lengths*/) override {
    auto logits = bias_;
    for (std::size_t m = 0; m < features.size(); ++m) logits = logits.addmm(features[m], weights_[m].t());
    return {.logits = logits, .feature = torch::cat(features, 1)};
  }

  void replace_gates(const torch::Tensor& replaced) override { replaced_ = replaced; }

 private:
  static void check_encoders(const poise::FusionSpec& spec) {
    if (spec.modalities.size() > 2) {
      throw poise::Error("mmtm joins 2 modalities, and this run has " +
                             std::to_string(spec.modalities.size()) + ": choose another fusion",
                         poise::Fault::usage);
    }
    for (std::size_t m = 0; m < spec.modalities.size(); ++m) {
      if (m < spec.stage_channels.size() && !spec.stage_channels[m].empty()) continue;
      throw poise::Error("mmtm acts between the stages of the encoders, and that of modality '" +
                             spec.modalities[m] +
                             "' has none: choose an encoder that runs in stages for it, or another fusion",
                         poise::Fault::usage);
    }
  }

  void add_transfers(const poise::FusionSpec& spec) {
    for (const auto stage : stages_) {
      std::array<std::size_t, 2> after{};
      std::array<std::int64_t, 2> channels{};
      for (std::size_t m = 0; m < 2; ++m) {
        after[m] = index_of(stage, spec, m);
        channels[m] = spec.stage_channels[m][after[m]];
        if (!after_.empty() && after[m] <= after_.back()[m]) {
          throw poise::Error(
              "fusion.stages must name each stage once and in the order of the encoder of modality '" +
                  spec.modalities[m] + "'",
              poise::Fault::usage);
        }
      }
      add_transfer(spec, after, channels);
    }
  }

  /// The option's `stage` as an index into the stages of modality m's encoder.
  static std::size_t index_of(std::int64_t stage, const poise::FusionSpec& spec, std::size_t m) {
    const auto count = static_cast<std::int64_t>(spec.stage_channels[m].size());
    if (stage < -count || stage >= count) {
      throw poise::Error("fusion.stages names stage " + std::to_string(stage) +
                             ", but the encoder of modality '" + spec.modalities[m] + "' has " +
                             std::to_string(count) + " stages: name 0 to " + std::to_string(count - 1) +
                             ", or -1 to " + std::to_string(-count) + " from its end",
                         poise::Fault::usage);
    }
    return static_cast<std::size_t>(stage < 0 ? stage + count : stage);
  }

  void add_transfer(const poise::FusionSpec& spec, const std::array<std::size_t, 2>& after,
                    const std::array<std::int64_t, 2>& channels) {
    const std::int64_t units = (channels[0] + channels[1]) / ratio_;
    if (units == 0) {
      throw poise::Error("fusion.ratio is " + std::to_string(ratio_) + ", but the encoders have only " +
                             std::to_string(channels[0] + channels[1]) +
                             " channels together after a stage of fusion.stages: set a smaller ratio",
                         poise::Fault::usage);
    }
    after_.push_back(after);
    transfers_.emplace_back(register_module("transfer" + std::to_string(transfers_.size() + 1),
                                            Transfer(spec.modalities, channels, units)));
    auto& transfer = *transfers_.back();
    for (const auto& parameter : transfer.squeeze->parameters()) {
      set_role(parameter, poise::Role::bypass, {0, 1});
    }
    for (std::size_t m = 0; m < 2; ++m) {
      for (const auto& parameter : transfer.excite[m]->parameters()) {
        set_role(parameter, poise::Role::bypass, {static_cast<int>(m)});
      }
    }
  }

  /// H as one parameter per modality, started as one layer.
  void add_head(const poise::FusionSpec& spec) {
    const auto total = std::accumulate(spec.widths.begin(), spec.widths.end(), std::int64_t{0});
    const torch::nn::Linear whole(total, spec.task.outputs);
    const auto blocks = whole->weight.detach().split_with_sizes(spec.widths, 1);
    for (std::size_t m = 0; m < blocks.size(); ++m) {
      weights_.push_back(register_parameter("weight_" + spec.modalities[m], blocks[m].clone()));
      set_role(weights_.back(), poise::Role::head, {static_cast<int>(m)});
    }
    bias_ = register_parameter("bias", whole->bias.detach().clone());
    set_role(bias_, poise::Role::head);
  }

  std::vector<std::int64_t> stages_;
  std::int64_t ratio_;
  std::vector<std::array<std::size_t, 2>> after_;  // per transfer and modality, the stage it follows
  std::vector<Transfer> transfers_;
  std::vector<torch::Tensor> weights_;  // H_m [C, d_m]
  torch::Tensor bias_;                  // b [C]
  torch::Tensor replaced_;              // [2] bool, undefined until somebody asks
};

}  // namespace

POISE_FUSION(Mmtm, "mmtm", "channel gates between the stages of two encoders, then concat; not additive");
