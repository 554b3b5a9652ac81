// A user's own data, without a plugin of their own: NumPy's .npy files, named in the pipeline. A modality has
// a file per split with one row per sample, a sequence one more with lengths, and the targets have theirs.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <poise/dataset.h>
#include <poise/plugin.h>

#include "inputs.h"
#include "npy.h"
#include "settings.h"
#include "targets.h"

namespace {

using arrays::refuse;
using poise::Split;
using poise::TaskKind;

constexpr std::size_t train = 0;
constexpr std::size_t validation = 1;

/// Of one sample: a file's shape without the rows.
std::vector<std::int64_t> sample_shape(const std::filesystem::path& file, const arrays::Header& header,
                                       bool is_sequence) {
  const auto& shape = header.shape;
  if (shape.size() < 2 || std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    refuse(file, "holds " + arrays::described(header.dtype, shape) + ", but inputs are " +
                     (is_sequence ? "[N, steps, ...]" : "[N, ...]") +
                     " with one row per sample, in which a single number is [N, 1].");
  }
  return {shape.begin() + 1, shape.end()};
}

class Arrays : public poise::Dataset {
 public:
  explicit Arrays(poise::Config& config) : settings_(arrays::read_settings(config)) {}

  // The shapes stand in the files' headers. They are read here and not by the constructor, which must not
  // fail for files that are not there yet; and each time, since a header is but a few bytes.
  [[nodiscard]] std::vector<poise::Modality> modalities() const override {
    std::vector<poise::Modality> all;
    for (const auto& source : settings_.modalities) {
      const auto& file = source.files[train];
      const bool is_sequence = source.lengths.has_value();
      all.push_back({source.name, sample_shape(file, arrays::read_header(file), is_sequence), is_sequence});
    }
    return all;
  }

  [[nodiscard]] poise::Task task() const override { return settings_.task; }

  [[nodiscard]] std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> files;
    const auto add = [&](const arrays::Files& some) {
      for (const auto& file : some) {
        if (!file.empty()) files.push_back(file);
      }
    };
    for (const auto& source : settings_.modalities) {
      add(source.files);
      if (source.lengths) add(*source.lengths);
    }
    add(settings_.targets);
    for (const auto& file : files) {
      if (!std::filesystem::is_regular_file(file)) refuse(file, "is not there, and the pipeline names it.");
    }
    return files;
  }

  void build(const poise::DatasetSpec& spec) override {
    for (std::size_t s = 0; s < parts_.size(); ++s) {
      if (s != validation || !settings_.carves_validation()) parts_[s] = load(s, spec.modalities);
    }
    if (settings_.carves_validation()) carve_validation();
    if (settings_.task.kind == TaskKind::regression) standardise();
  }

  [[nodiscard]] std::int64_t size(Split split) const override {
    const auto& targets = parts_[static_cast<std::size_t>(split)].targets;
    return targets.defined() ? targets.size(0) : 0;
  }

  [[nodiscard]] poise::Batch fetch(Split split, const torch::Tensor& ids,
                                   std::uint64_t /*seed*/) const override {
    const Part& part = parts_[static_cast<std::size_t>(split)];
    const auto rows = part.rows.index_select(0, ids);
    poise::Batch batch;
    batch.ids = ids;
    batch.targets = part.targets.index_select(0, ids);
    for (const auto& input : part.inputs) {
      batch.inputs.push_back(arrays::delivered(input, rows));
      batch.lengths.push_back(input.lengths.defined() ? input.lengths.index_select(0, rows)
                                                      : torch::Tensor());
    }
    return batch;
  }

 private:
  /// A split: its sample i is row rows[i] of the inputs.
  struct Part {
    torch::Tensor targets;
    torch::Tensor rows;
    std::vector<arrays::Input> inputs;  ///< in the order of fetch()
  };

  [[nodiscard]] Part load(std::size_t split, const std::vector<int>& modalities) const;
  [[nodiscard]] arrays::Input load_input(const arrays::Source& source, std::size_t split,
                                         std::int64_t samples) const;
  void check_samples(const std::filesystem::path& file, std::int64_t found, std::size_t split,
                     std::int64_t samples) const;
  void carve_validation();
  void standardise();

  arrays::Settings settings_;
  std::array<Part, 3> parts_;
};

/// A split of the files, checked.
Arrays::Part Arrays::load(std::size_t split, const std::vector<int>& modalities) const {
  Part part;
  part.targets = arrays::read_targets(settings_.targets[split], settings_.task);
  const std::int64_t samples = part.targets.size(0);
  part.rows = torch::arange(samples);
  for (const int m : modalities) {
    part.inputs.push_back(load_input(settings_.modalities[static_cast<std::size_t>(m)], split, samples));
  }
  return part;
}

arrays::Input Arrays::load_input(const arrays::Source& source, std::size_t split,
                                 std::int64_t samples) const {
  const auto& file = source.files[split];
  const auto& first = source.files[train];
  const bool is_sequence = source.lengths.has_value();
  const auto shape = sample_shape(file, arrays::read_header(file), is_sequence);
  const auto expected = sample_shape(first, arrays::read_header(first), is_sequence);
  if (shape != expected) {
    refuse(file, "holds samples of shape " + arrays::described(shape) + ", but " + first.string() +
                     " holds samples of shape " + arrays::described(expected) +
                     ": a modality has one shape in all splits.");
  }
  arrays::Input input{arrays::map_values(file), {}};
  check_samples(file, input.values.size(0), split, samples);
  if (is_sequence) {
    const auto& lengths = (*source.lengths)[split];
    input.lengths = arrays::read_lengths(lengths, shape[0]);
    check_samples(lengths, input.lengths.size(0), split, samples);
  }
  arrays::check_finite(file, input);
  return input;
}

void Arrays::check_samples(const std::filesystem::path& file, std::int64_t found, std::size_t split,
                           std::int64_t samples) const {
  if (found == samples) return;
  refuse(file, "holds " + std::to_string(found) + " samples, but " + settings_.targets[split].string() +
                   " holds " + std::to_string(samples) + ": the files of the " +
                   poise::name(static_cast<Split>(split)) +
                   " split have one row per sample, in the same order.");
}

/// Some samples of train, drawn by a seed of their own, become the validation split; both keep the order
/// of the files.
void Arrays::carve_validation() {
  const std::int64_t samples = size(Split::train);
  if (samples < 2) {
    refuse(settings_.targets[train],
           "holds 1 sample, but validation is carved out of train: give it a file.");
  }
  const auto wanted = std::llround(settings_.validation_share * static_cast<double>(samples));
  const auto count = std::clamp<std::int64_t>(wanted, 1, samples - 1);
  const auto random =
      at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(settings_.validation_seed));
  const auto order = torch::randperm(samples, random, torch::kLong);
  const Part whole = parts_[train];
  const auto part_of = [&whole](const torch::Tensor& some) {
    const auto rows = std::get<0>(some.sort());
    return Part{whole.targets.index_select(0, rows), rows, whole.inputs};
  };
  parts_[validation] = part_of(order.slice(0, 0, count));
  parts_[train] = part_of(order.slice(0, count));
}

void Arrays::standardise() {
  const auto scale = arrays::fit_scale(settings_.targets[train], parts_[train].targets);
  for (auto& part : parts_) part.targets = ((part.targets - scale.mean) / scale.deviation).to(torch::kFloat);
}

}  // namespace

POISE_DATASET(Arrays, "arrays", "your own data from .npy files named in the pipeline");
