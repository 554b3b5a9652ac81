#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "poise/batch.h"
#include "poise/task.h"

namespace poise {

enum class Split { train, validation, test };

/// "train", "validation" or "test".
const char* name(Split split);

/// One input of a model.
struct Modality {
  std::string name;
  std::vector<std::int64_t> shape;  ///< of one sample, without the batch dimension
  bool is_sequence = false;         ///< its first dimension is time, and batches carry lengths
};

/// What the host wants of a dataset.
struct DatasetSpec {
  std::vector<int> modalities;  ///< indices into modalities(): which to deliver, in this order
  int threads = 1;              ///< how many may be used to prepare the data
};

/// Interface poise.dataset/1: samples in three splits that share none.
/// Lifecycle: the constructor reads options and nothing else; build() once; then size() and fetch(). The test
/// split is asked for once, at the end, by the host.
class Dataset {
 public:
  Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;
  virtual ~Dataset();

  /// Known after construction, and fixed.
  [[nodiscard]] virtual std::vector<Modality> modalities() const = 0;
  [[nodiscard]] virtual Task task() const = 0;
  /// The files whose content decides the samples: their names, sizes and bytes identify a run. Throws Error
  /// where there is no data.
  [[nodiscard]] virtual std::vector<std::filesystem::path> files() const = 0;

  /// Reads or computes what fetch() needs. Throws Error naming the file that is missing or damaged.
  virtual void build(const DatasetSpec& spec) = 0;
  [[nodiscard]] virtual std::int64_t size(Split split) const = 0;
  /// The samples `ids` ([B] int64, each 0 to size - 1, repeats allowed), in that order. Called from any
  /// thread, several at once. The same (split, id, seed) gives the same sample: augmentation is a function of
  /// (seed, id).
  [[nodiscard]] virtual Batch fetch(Split split, const torch::Tensor& ids, std::uint64_t seed) const = 0;
};

}  // namespace poise
