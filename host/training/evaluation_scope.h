#pragma once

#include <torch/nn/module.h>

namespace poise {

/// Switches a module to evaluation mode for a scope.
class EvaluationScope {
 public:
  EvaluationScope(torch::nn::Module& module, bool switched) : module_(switched ? &module : nullptr) {
    if (module_ != nullptr) module_->eval();
  }
  ~EvaluationScope() {
    if (module_ != nullptr) module_->train();
  }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  torch::nn::Module* module_;
};

}  // namespace poise
