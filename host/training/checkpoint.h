#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "poise/state.h"
#include "training/tensor_file.h"

namespace poise {

/// What a run needs to go on bit for bit: scalars as JSON, tensors by name.
struct Checkpoint {
  nlohmann::json scalars;
  TensorFile tensors;
};

/// Replaces the checkpoint of a run's folder. The one before it is kept beside it, so that a valid one is there
/// at every moment.
void save_checkpoint(const std::filesystem::path& folder, Checkpoint checkpoint);

/// The newest checkpoint that is whole, or nothing. A damaged one is named to `note`.
std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& folder,
                                          const std::function<void(const std::string&)>& note);

/// Removes both, when the run is finished.
void remove_checkpoints(const std::filesystem::path& folder);

/// Collects a modulation's state into `checkpoint` under "modulation.NAME".
class SavingState final : public State {
 public:
  explicit SavingState(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  void scalar(const std::string& name, double& value) override;
  void scalar(const std::string& name, std::int64_t& value) override;
  void tensor(const std::string& name, torch::Tensor& value) override;

 private:
  Checkpoint& checkpoint_;
};

/// Gives it back: first the scalars, and after begin() the tensors.
class RestoringState final : public State {
 public:
  enum class What { scalars, tensors };
  RestoringState(const Checkpoint& checkpoint, What what) : checkpoint_(checkpoint), what_(what) {}
  void scalar(const std::string& name, double& value) override;
  void scalar(const std::string& name, std::int64_t& value) override;
  void tensor(const std::string& name, torch::Tensor& value) override;

 private:
  [[nodiscard]] const nlohmann::json& find(const std::string& name) const;

  const Checkpoint& checkpoint_;
  What what_;
};

}  // namespace poise
