// The out-of-line members of the interface classes: one home for their type information, so that casts and
// exceptions work across libraries.
#include "poise/ceiling.h"
#include "poise/dataset.h"
#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/gate_switch.h"
#include "poise/intermediate.h"
#include "poise/modulation.h"

namespace poise {

Error::Error(const std::string& sentence, Fault fault) : std::runtime_error(sentence), fault_(fault) {}
Error::~Error() = default;

Dataset::~Dataset() = default;
Objective::~Objective() = default;
Network::~Network() = default;
Optimizer::~Optimizer() = default;
Trainer::~Trainer() = default;
State::~State() = default;

const char* name(Split split) {
  switch (split) {
    case Split::train: return "train";
    case Split::validation: return "validation";
    case Split::test: return "test";
  }
  return "";
}

Ceiling::~Ceiling() = default;

Encoder::~Encoder() = default;
bool Encoder::gives_tokens() const { return false; }
bool Encoder::modes_agree() const { return false; }
torch::Tensor Encoder::absent(const torch::Tensor& input) const { return torch::zeros_like(input); }
bool Encoder::constant_when_absent() const { return false; }

StagedEncoder::~StagedEncoder() = default;

IntermediateFusion::~IntermediateFusion() = default;

GateSwitch::~GateSwitch() = default;

Fusion::~Fusion() = default;
bool Fusion::takes_tokens() const { return false; }
bool Fusion::modes_agree() const { return false; }
bool Fusion::additive() const { return false; }
torch::Tensor Fusion::share(int /*modality*/, const torch::Tensor& /*feature*/) {
  throw Error("this fusion is not additive: its logits have no shares");
}
void Fusion::set_role(const torch::Tensor& parameter, Role role, std::vector<int> modalities) {
  roles_.push_back({parameter, role, std::move(modalities)});
}

Modulation::~Modulation() = default;
Requirements Modulation::requirements(int /*modalities*/) const { return {}; }
std::optional<std::string> Modulation::neutral_options() const { return std::nullopt; }
void Modulation::begin(Trainer& /*trainer*/) {}
void Modulation::begin_epoch(Trainer& /*trainer*/) {}
void Modulation::end_epoch(Trainer& /*trainer*/) {}
std::int64_t Modulation::passes(Trainer& /*trainer*/) { return 1; }
std::optional<Plan> Modulation::plan(Trainer& /*trainer*/) { return std::nullopt; }

torch::Tensor Modulation::loss(const Batch& batch, Trainer& trainer) {
  return trainer.objective().loss(trainer.network().logits(batch), batch);
}

void Modulation::modulate(const Batch& /*batch*/, Trainer& /*trainer*/) {}

void Modulation::step(const Batch& batch, Trainer& trainer) {
  trainer.backward(loss(batch, trainer));
  modulate(batch, trainer);
  trainer.optimizer().step();
}

torch::Tensor Modulation::predict(const Batch& batch, const std::vector<Subset>& subsets, Trainer& trainer) {
  return trainer.network().logits(batch, subsets);
}

torch::Tensor Modulation::feature(const Batch& batch, Trainer& trainer) {
  return trainer.network().feature(batch);
}

void Modulation::visit(State& /*state*/) {}

}  // namespace poise
