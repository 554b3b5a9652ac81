#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/cell.h"

namespace poise {

/// What a pipeline file asks for: the cells of its matrix and, unless `[analysis] alone = false` and no modulation
/// needs them as teachers, each modality trained alone for every seed, with the encoder, the fusion and the training
/// of the first cell that uses it.
struct Pipeline {
  std::string title;  ///< "" in the file: the file's name
  std::vector<Cell> cells;
};

/// Reads the file with `settings` ("train.epochs=2") and makes every run. `plugin_folders` are searched
/// first. Throws Error, see make_cell(); reads no data.
Pipeline read_pipeline(const std::filesystem::path& file, const std::vector<std::string>& settings,
                       const std::vector<std::filesystem::path>& plugin_folders);

}  // namespace poise
