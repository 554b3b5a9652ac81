// What a modulation computes, on small networks of its own: the reference network, which shares nothing with the host's.
#include <cstdint>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "accepted_designs.h"
#include "poise/error.h"

namespace poise::conformance {
namespace {

using reference::Bench;
using reference::Design;
using reference::make_data;
using reference::take;
using torch::Tensor;

/// Some training on `data`.
Finding trains_on(const Subject& subject, const Design& design, const Batch& data) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.trainer.train_data = data;
  bench.begin();
  for (int step = 0; step < 4; ++step) {
    bench.train();
    const auto fault = bench.not_finite();
    if (!fault.empty()) return failed(text("after step ", step + 1, " ", fault, " is not finite"));
  }
  return passed();
}

Batch data_for(const Subject& subject, const Design& design) {
  return make_data(design, 16, subject.seed + 1);
}

Finding trains(const Subject& subject, const Design& design) {
  return trains_on(subject, design, data_for(subject, design));
}

Finding finite_for_a_small_batch(const Subject& subject, const Design& design) {
  return trains_on(subject, design, take(data_for(subject, design), at::arange(2, at::kLong)));
}

Finding finite_for_one_class(const Subject& subject, const Design& design) {
  Batch data = data_for(subject, design);
  data.targets = at::zeros_like(data.targets);
  return trains_on(subject, design, data);
}

Finding finite_for_a_dead_modality(const Subject& subject, const Design& design) {
  for (int m = 0; m < design.modalities; ++m) {
    Batch data = data_for(subject, design);
    auto& input = data.inputs.at(static_cast<std::size_t>(m));
    input = at::zeros_like(input);
    const auto finding = trains_on(subject, design, data);
    if (finding.outcome == Outcome::failed)
      return failed(text("with modality ", m, " all zero ", finding.sentence));
  }
  return passed();
}

/// The kinds of task that Objective serves beside classification.
Finding trains_for_other_tasks(const Subject& subject, const Design& design) {
  if (make<Modulation>(subject)->requirements(design.modalities).classification) {
    return skipped("it declares that it needs classes");
  }
  for (const auto task : {TaskKind::multi_label, TaskKind::regression}) {
    Design other = design;
    other.task = task;
    const auto finding = trains(subject, other);
    if (finding.outcome == Outcome::failed) {
      return failed((task == TaskKind::regression ? "regression: " : "multi-label: ") + finding.sentence);
    }
  }
  return passed();
}

Finding equals_joint(const Subject& subject, const Design& design, const std::string& neutral) {
  Bench ours(design, make<Modulation>(subject, neutral), subject.seed);
  Bench joint(design, std::make_shared<Modulation>(), subject.seed);
  ours.begin();
  joint.begin();
  for (int step = 0; step < 6; ++step) {
    const auto seed = subject.seed + static_cast<std::uint64_t>(step);
    torch::manual_seed(seed);
    ours.train();
    torch::manual_seed(seed);
    joint.train();
    const auto differing = ours.differs_from(joint);
    if (!differing.empty())
      return failed(text("in step ", step + 1, " ", differing, " is not joint training's"));
  }
  return passed();
}

Finding neutral_options_are_joint_training(const Subject& subject) {
  const auto neutral = make<Modulation>(subject)->neutral_options();
  if (!neutral) return skipped("it declares no neutral options");
  std::string why_not = "it declares no case of one to three modalities";
  const auto designs = accepted_designs(subject, *neutral, &why_not);
  if (designs.empty()) return failed("with its neutral options it takes no network: " + why_not);
  Findings findings;
  for (const auto& design : designs) {
    if (findings.add(described(design), equals_joint(subject, design, *neutral))) break;
  }
  return findings.overall();
}

/// The name of a tensor in the network with the first two modalities swapped.
std::string swapped(std::string name) {
  for (std::size_t i = 0; i + 1 < name.size(); ++i) {
    if (name[i] == 'm' && (name[i + 1] == '0' || name[i + 1] == '1'))
      name[i + 1] = name[i + 1] == '0' ? '1' : '0';
  }
  return name;
}

const Tensor& tensor_of(const std::vector<std::pair<std::string, Tensor>>& all, const std::string& name) {
  for (const auto& [other, tensor] : all) {
    if (other == name) return tensor;
  }
  throw Error("the small network has no tensor " + name);
}

/// Those of `to` whose name begins with `prefix` take the values of `from` with the first two modalities swapped.
void swap_weights(const reference::Network& from, reference::Network& to, const std::string& prefix) {
  const at::NoGradGuard no_grad;
  const auto values = from.named_tensors();
  for (auto& [name, tensor] : to.named_tensors()) {
    if (name.starts_with(prefix)) tensor.copy_(tensor_of(values, swapped(name)));
  }
}

Finding swapping_swaps(const Subject& subject, const Design& accepted) {
  if (accepted.modalities < 2) return skipped("there is nothing to swap");
  if (!make<Modulation>(subject)->requirements(accepted.modalities).symmetric) {
    return skipped("it declares that its modalities are ordered or random");
  }
  Design design = accepted;
  design.dtype = at::kDouble;
  Bench one(design, make<Modulation>(subject), subject.seed);
  Bench two(design, make<Modulation>(subject), subject.seed);
  swap_weights(one.network, two.network, "");
  if (one.trainer.teachers != nullptr) swap_weights(*one.trainer.teachers, *two.trainer.teachers, "");
  for (auto* data : {&two.trainer.train_data, &two.trainer.validation_data}) {
    std::swap(data->inputs[0], data->inputs[1]);
  }
  for (auto* bench : {&one, &two}) {
    torch::manual_seed(subject.seed);
    bench->begin();
  }
  swap_weights(one.network, two.network, "own.");
  const auto ones = one.network.named_tensors();
  const auto twos = two.network.named_tensors();
  for (int step = 0; step < 6; ++step) {
    for (auto* bench : {&one, &two}) {
      torch::manual_seed(subject.seed + static_cast<std::uint64_t>(step));
      bench->train();
    }
    for (const auto& [name, tensor] : ones) {
      const Tensor& other = tensor_of(twos, swapped(name));
      const auto off = difference(other, tensor, 1);
      if (!(off <= 1e-12))
        return failed(
            text("in step ", step + 1, " ", name, " differs by ", off, " when two modalities are swapped"));
      if (tensor.grad().defined() != other.grad().defined())
        return failed(text("only one of two swapped modalities has a gradient at ", name));
      if (!tensor.grad().defined()) continue;
      const auto gradient_off = difference(other.grad(), tensor.grad(), 1);
      if (gradient_off <= 1e-12) continue;
      return failed(text("in step ", step + 1, " the gradient of ", name, " differs by ", gradient_off,
                         " when two modalities are swapped"));
    }
  }
  return passed();
}

Finding predict_obeys_the_subsets(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.begin();
  bench.train();
  const at::NoGradGuard no_grad;
  std::vector<Subset> subsets;
  for (std::uint32_t bits = 1; bits <= Subset::all(design.modalities).bits; ++bits) subsets.push_back({bits});
  const auto count = static_cast<std::int64_t>(subsets.size());
  const Batch& batch = bench.trainer.train_data;
  bench.network.begin_evaluation();
  const auto logits = bench.modulation->predict(batch, subsets, bench.trainer);
  if (!has_shape(logits, {count, batch.size(), bench.network.outputs()})) {
    return failed(text("predict() of ", count, " subsets gives ", logits.sizes()));
  }
  if (!is_finite(logits)) return failed("predict() gives logits that are not finite");
  for (int m = 0; m < design.modalities; ++m) {
    Batch other = take(batch, batch.ids);
    auto& input = other.inputs.at(static_cast<std::size_t>(m));
    input = input * -3 + 1;
    bench.network.begin_evaluation();
    const auto changed = bench.modulation->predict(other, subsets, bench.trainer);
    for (std::int64_t s = 0; s < count; ++s) {
      const bool sees = subsets[static_cast<std::size_t>(s)].has(m);
      if (sees || difference(changed[s], logits[s]) <= 1e-6) continue;
      return failed(text("the logits of a subset without modality ", m, " change with its input"));
    }
  }
  return passed();
}

Finding feature_is_one_row_a_sample(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.begin();
  bench.train();
  const at::NoGradGuard no_grad;
  bench.network.begin_evaluation();
  const Batch& batch = bench.trainer.train_data;
  const auto feature = bench.modulation->feature(batch, bench.trainer);
  if (!feature.defined()) return skipped("it has no feature");
  if (feature.dim() != 2 || feature.size(0) != batch.size())
    return failed(text("the feature has the shape ", feature.sizes()));
  return is_finite(feature) ? passed() : failed("the feature is not finite");
}

}  // namespace

std::vector<Check> modulation_checks() {
  return {
      {"trains", "It trains every network that it takes.", &on_each_design<trains>},
      {"finite_for_a_small_batch", "Gradients are finite for two samples.",
       &on_each_design<finite_for_a_small_batch>},
      {"finite_for_one_class", "Gradients are finite where all samples are of one class.",
       &on_each_design<finite_for_one_class>},
      {"finite_for_a_dead_modality", "Gradients are finite where a modality is all zero.",
       &on_each_design<finite_for_a_dead_modality>},
      {"trains_for_other_tasks",
       "It trains on labels and numbers too, unless it declares that it needs classes.",
       &on_each_design<trains_for_other_tasks>},
      {"neutral_options_are_joint_training",
       "Its neutral options give joint training's gradients, bit for bit.",
       &neutral_options_are_joint_training},
      {"swapping_swaps", "Swapping two modalities swaps what it does, unless it says otherwise.",
       &on_each_design<swapping_swaps>},
      {"predict_obeys_the_subsets", "Predictions do not depend on modalities outside the subset.",
       &on_each_design<predict_obeys_the_subsets>},
      {"feature_is_one_row_a_sample", "The feature of an evaluation is [B, d], or undefined.",
       &on_each_design<feature_is_one_row_a_sample>},
  };
}

}  // namespace poise::conformance
