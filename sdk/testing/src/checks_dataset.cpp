// What a dataset declares, and whether its batches keep it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>

#include <ATen/ATen.h>

#include "prepared_data.h"

namespace poise::conformance {
namespace {

Finding declared_well(const Data& data, const Subject& /*subject*/) {
  std::set<std::string> names;
  for (const auto& modality : data.modalities) {
    if (modality.name.empty() || !names.insert(modality.name).second) {
      return failed("a modality has no name, or that of another: '" + modality.name + "'");
    }
    const bool positive =
        std::all_of(modality.shape.begin(), modality.shape.end(), [](std::int64_t size) { return size > 0; });
    if (!positive || (modality.is_sequence && modality.shape.empty())) {
      return failed(text("modality ", modality.name, " has the shape ", at::IntArrayRef(modality.shape)));
    }
  }
  if (names.empty()) return failed("it has no modality");
  if (data.task.outputs < 1) return failed(text("its task has ", data.task.outputs, " outputs"));
  const auto labels = static_cast<std::int64_t>(data.task.labels.size());
  if (labels == 0 || labels == data.task.outputs) return passed();
  return failed(text("its task has ", labels, " labels and ", data.task.outputs, " outputs"));
}

Finding sizes_positive(const Data& data, const Subject& /*subject*/) {
  for (const auto split : {Split::train, Split::validation, Split::test}) {
    const auto size = data.dataset->size(split);
    const std::int64_t least = split == Split::train ? 2 : 1;
    if (size < least) return failed(text("the ", name(split), " split has ", size, " samples"));
  }
  return passed();
}

/// What is wrong with one input of a batch of `rows`; empty when nothing is.
std::string input_fault(const Modality& modality, const torch::Tensor& input, std::int64_t rows) {
  auto wanted = modality.shape;
  wanted.insert(wanted.begin(), rows);
  // A batch of sequences may be padded to less than the longest one of all.
  if (modality.is_sequence && input.dim() > 1) wanted.at(1) = std::min(wanted.at(1), input.size(1));
  if (!has_shape(input, wanted)) {
    return text("has the shape ", input.sizes(), ", not ", at::IntArrayRef(wanted));
  }
  const auto type = input.scalar_type();
  if (type != at::kFloat && type != at::kLong)
    return text("is ", c10::toString(type), ", not float32 or int64");
  if (!input.is_cpu()) return "is not on the CPU";
  return is_finite(input) ? "" : "has values that are not finite";
}

std::string lengths_fault(const Modality& modality, const torch::Tensor& lengths, std::int64_t rows) {
  if (!lengths.defined()) return modality.is_sequence ? "is a sequence and has no lengths" : "";
  if (!modality.is_sequence) return "is no sequence and has lengths";
  const bool good = lengths.scalar_type() == at::kLong && lengths.dim() == 1 && lengths.size(0) == rows;
  return good ? ""
              : text("has lengths of shape ", lengths.sizes(), " and type ",
                     c10::toString(lengths.scalar_type()));
}

std::string targets_fault(const Task& task, const torch::Tensor& targets, std::int64_t rows) {
  const bool is_class = task.kind == TaskKind::classification;
  std::vector<std::int64_t> wanted{rows};
  if (!is_class) wanted.push_back(task.outputs);
  const auto type = is_class ? at::kLong : at::kFloat;
  if (has_shape(targets, wanted) && targets.scalar_type() == type) return "";
  return text("targets are ", c10::toString(targets.scalar_type()), " ", targets.sizes(), ", not ",
              c10::toString(type), " ", at::IntArrayRef(wanted));
}

Finding shapes_as_declared(const Data& data, const Subject& /*subject*/) {
  for (const auto split : data.splits) {
    const auto few = data.spread(split, 8);
    const auto ids = at::cat({few, few.narrow(0, 0, 1)});  // repeats are allowed
    const auto batch = data.fetch(split, ids);
    const auto rows = ids.size(0);
    if (!same_bits(batch.ids, ids)) return failed("the ids of a batch are not those asked for");
    if (batch.inputs.size() != data.modalities.size() || batch.lengths.size() != data.modalities.size()) {
      return failed(text("a batch has ", batch.inputs.size(), " inputs and ", batch.lengths.size(),
                         " lengths for ", data.modalities.size(), " modalities"));
    }
    for (std::size_t m = 0; m < batch.inputs.size(); ++m) {
      const auto& modality = data.modalities[m];
      std::string fault = input_fault(modality, batch.inputs[m], rows);
      if (fault.empty()) fault = lengths_fault(modality, batch.lengths[m], rows);
      if (!fault.empty()) return failed(text(modality.name, " of ", name(split), " ", fault));
    }
    const auto fault = targets_fault(data.task, batch.targets, rows);
    if (!fault.empty()) return failed(fault);
  }
  return passed();
}

/// Of one piece of a split.
std::string range_fault(const Task& task, const torch::Tensor& targets) {
  if (!is_finite(targets)) return "are not all finite";
  const auto least = targets.min().item<double>();
  const auto most = targets.max().item<double>();
  switch (task.kind) {
    case TaskKind::classification:
      if (least >= 0 && most < static_cast<double>(task.outputs)) return "";
      return text("run from ", least, " to ", most, ", of ", task.outputs, " classes");
    case TaskKind::multi_label:
      return targets.eq(0).logical_or(targets.eq(1)).all().item<bool>() ? "" : "are not all 0 or 1";
    case TaskKind::regression: break;
  }
  return "";
}

Finding targets_in_range(const Data& data, const Subject& /*subject*/) {
  Tensors of_train;
  for (const auto split : data.splits) {
    for (const auto& ids : data.pieces(split, 4096)) {
      const auto targets = data.fetch(split, ids).targets;
      const auto fault = range_fault(data.task, targets);
      if (!fault.empty()) return failed(text("targets of ", name(split), " ", fault));
      if (split == Split::train) of_train.push_back(targets);
    }
  }
  if (data.task.kind != TaskKind::regression || of_train.empty()) return passed();
  const auto all = at::cat(of_train);
  const auto mean = all.mean().item<double>();
  const auto deviation = all.std().item<double>();
  if (std::abs(mean) < 0.5 && deviation > 0.5 && deviation < 2) return passed();
  return warning(text("targets of train should be standardised, and have the mean ", mean,
                      " and the deviation ", deviation));
}

Finding lengths_in_range(const Data& data, const Subject& /*subject*/) {
  bool any = false;
  for (const auto split : data.splits) {
    for (const auto& ids : data.pieces(split, 1024)) {
      const auto batch = data.fetch(split, ids);
      for (std::size_t m = 0; m < batch.lengths.size(); ++m) {
        const auto& lengths = batch.lengths[m];
        if (!lengths.defined()) continue;
        any = true;
        const auto most = batch.inputs.at(m).size(1);
        if (lengths.min().item<std::int64_t>() < 1 || lengths.max().item<std::int64_t>() > most) {
          return failed(text("lengths of ", data.modalities.at(m).name, " in ", name(split),
                             " are not all from 1 to ", most));
        }
      }
    }
  }
  return any ? passed() : skipped("no modality is a sequence");
}

}  // namespace

std::vector<Check> dataset_checks() {
  return {
      {"declared_well", "Modalities have names and shapes, and the task has outputs.",
       &on_data<declared_well>},
      {"sizes_positive", "No split is empty.", &on_data<sizes_positive>},
      {"shapes_as_declared", "Batches have the declared shapes and types.", &on_data<shapes_as_declared>},
      {"targets_in_range", "Targets are what the kind of task says.", &on_data<targets_in_range>},
      {"lengths_in_range", "Lengths of sequences are from 1 to the number of steps.",
       &on_data<lengths_in_range>},
  };
}

}  // namespace poise::conformance
