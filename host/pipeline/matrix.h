#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <toml++/toml.h>

namespace poise {

/// The cells of a pipeline's `[matrix]`: each axis is a dotted key of the base ("modulation",
/// "train.optimizer.lr") with the list of its values, and every combination that `exclude` does not drop is a
/// cell. The first axis written varies slowest, `seed` fastest. Without a matrix there is one cell; a list of
/// them, `[[matrix]]`, gives the cells of each in turn, and a key is an axis of those only that vary it.
class Matrix {
 public:
  /// Throws Error (usage): no axis of that name, no list, a setting of what an axis varies, nothing left.
  Matrix(std::filesystem::path file, std::vector<std::string> settings);

  /// Of the matrix that the cell is from: dotted keys, in their order.
  [[nodiscard]] const std::vector<std::string>& axes(std::size_t index) const {
    return axes_[cells_[index].matrix];
  }
  [[nodiscard]] std::size_t size() const { return cells_.size(); }
  /// The pipeline with the values of a cell in their places, without [matrix]. Read afresh, so that every
  /// value knows where it was written; the caller owns it.
  [[nodiscard]] toml::table cell(std::size_t index) const;

 private:
  std::filesystem::path file_;
  std::vector<std::string> settings_;
  struct Place {
    std::size_t matrix = 0;
    std::vector<std::size_t> values;  ///< for each axis, the index of its value
  };
  std::vector<std::vector<std::string>> axes_;  ///< for each matrix
  std::vector<Place> cells_;
};

}  // namespace poise
