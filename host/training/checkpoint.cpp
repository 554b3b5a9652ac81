#include "training/checkpoint.h"

#include "poise/error.h"

namespace poise {
namespace {

constexpr const char* current_name = "checkpoint.safetensors";
constexpr const char* previous_name = "checkpoint.previous.safetensors";
const std::string prefix = "modulation.";

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, Checkpoint checkpoint) {
  checkpoint.tensors.metadata["state"] = checkpoint.scalars.dump();
  const auto current = folder / current_name;
  std::error_code absent;
  // From here until the new one is renamed into place, the one before it is the newest.
  std::filesystem::rename(current, folder / previous_name, absent);
  write_tensors(current, checkpoint.tensors);
}

std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& folder,
                                          const std::function<void(const std::string&)>& note) {
  for (const char* name : {current_name, previous_name}) {
    const auto path = folder / name;
    if (!std::filesystem::exists(path)) continue;
    try {
      Checkpoint checkpoint;
      checkpoint.tensors = read_tensors(path);
      checkpoint.scalars = nlohmann::json::parse(checkpoint.tensors.metadata.at("state"));
      return checkpoint;
    } catch (const std::exception& error) {
      note(std::string(error.what()) + " Going on from the checkpoint before it, or from the beginning.");
    }
  }
  return std::nullopt;
}

void remove_checkpoints(const std::filesystem::path& folder) {
  for (const char* name : {current_name, previous_name}) std::filesystem::remove(folder / name);
}

void SavingState::scalar(const std::string& name, double& value) {
  // JSON knows neither infinity nor NaN: C++'s hexadecimal text keeps every value's bits.
  char text[64];
  std::snprintf(text, sizeof(text), "%a", value);
  checkpoint_.scalars["modulation"][name] = text;
}

void SavingState::scalar(const std::string& name, std::int64_t& value) {
  checkpoint_.scalars["modulation"][name] = value;
}

void SavingState::tensor(const std::string& name, torch::Tensor& value) {
  if (value.defined()) checkpoint_.tensors.tensors.emplace_back(prefix + name, value);
}

const nlohmann::json& RestoringState::find(const std::string& name) const {
  const auto& all = checkpoint_.scalars.at("modulation");
  if (!all.contains(name)) throw Error("the checkpoint lacks the modulation's '" + name + "'.");
  return all.at(name);
}

void RestoringState::scalar(const std::string& name, double& value) {
  if (what_ == What::scalars) value = std::strtod(find(name).get<std::string>().c_str(), nullptr);
}

void RestoringState::scalar(const std::string& name, std::int64_t& value) {
  if (what_ == What::scalars) value = find(name).get<std::int64_t>();
}

void RestoringState::tensor(const std::string& name, torch::Tensor& value) {
  if (what_ != What::tensors) return;
  for (const auto& [key, tensor] : checkpoint_.tensors.tensors) {
    if (key != prefix + name) continue;
    value = value.defined() ? tensor.to(value.device()) : tensor;
    return;
  }
  value = torch::Tensor();
}

}  // namespace poise
