#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/reference_trainer.h"

namespace poise::reference {

using torch::Tensor;

namespace {

/// Stores the value, or gives it back where that is due now.
template <class Value>
void exchange(std::map<std::string, Value>& kept, const std::string& name, Value& value, bool saving,
              bool due) {
  if (saving) {
    if (!kept.emplace(name, value).second) throw Error("visit() names '" + name + "' twice.");
  } else if (due) {
    const auto found = kept.find(name);
    if (found == kept.end()) throw Error("the checkpoint lacks '" + name + "'.");
    value = found->second;
  }
}

}  // namespace

void Checkpoint::scalar(const std::string& name, double& value) {
  exchange(numbers, name, value, mode == Mode::save, mode == Mode::restore_scalars);
}

void Checkpoint::scalar(const std::string& name, std::int64_t& value) {
  exchange(integers, name, value, mode == Mode::save, mode == Mode::restore_scalars);
}

void Checkpoint::tensor(const std::string& name, Tensor& value) {
  exchange(tensors, name, value, mode == Mode::save, mode == Mode::restore_tensors);
  // Neither side may write into the other's.
  Tensor& own = mode == Mode::save ? tensors[name] : value;
  if (mode != Mode::restore_scalars && own.defined()) own = own.detach().clone();
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> result;
  for (const auto& [name, value] : numbers) result.push_back(name);
  for (const auto& [name, value] : integers) result.push_back(name);
  for (const auto& [name, value] : tensors) result.push_back(name);
  return result;
}

void Checkpoint::remove(const std::string& name) {
  numbers.erase(name);
  integers.erase(name);
  tensors.erase(name);
}

}  // namespace poise::reference
