#include "training/run_state.h"

#include <mutex>

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/files.h"
#include "training/clock.h"
#include "training/events.h"

namespace poise {
namespace {

const std::string network_prefix = "network.";
const std::string record_prefix = "record.";

/// Copies by name into the network's own tensors, so that the optimiser's and the plugins' handles stay valid.
void copy_into(FusedNetwork& network, const TensorFile& file, const std::string& prefix) {
  const torch::NoGradGuard no_gradients;
  for (auto& [name, tensor] : network.named_tensors()) tensor.copy_(file.at(prefix + name));
}

}  // namespace

RunState::RunState(FusedNetwork& network, HostTrainer& trainer, const Loaded<Modulation>& modulation,
                   const RunRequest& request, double started)
    : network_(network), trainer_(trainer), modulation_(modulation), request_(request), started_(started) {}

double RunState::total_seconds() const { return earlier_seconds_ + now() - started_; }

std::vector<at::Generator> RunState::generators() const {
  std::vector<at::Generator> generators{at::globalContext().defaultGenerator(at::kCPU)};
  if (const torch::Device device(request_.device); device.is_cuda()) {
    generators.push_back(at::globalContext().defaultGenerator(device));
  }
  return generators;
}

Checkpoint RunState::checkpoint() {
  Checkpoint checkpoint;
  const Position& p = trainer_.position;
  const PassCounts& counts = network_.counts();
  checkpoint.scalars = {{"hash", request_.identity.value("hash", "")},
                        {"position", {p.epoch, p.passes, p.pass, p.batch, p.step}},
                        {"updates", trainer_.host_optimizer().updates()},
                        {"best",
                         {{"epoch", best_epoch},
                          {"score", best_score_},
                          {"loss", best_loss_},
                          {"validation", best_validation}}},
                        {"metrics", metrics},
                        {"records", trainer_.records().weights()},
                        {"counts",
                         {counts.encoder_batches, counts.encoder_absent_rows, counts.fusion_batches,
                          trainer_.backward_passes()}},
                        {"seconds", {train_seconds, total_seconds()}},
                        {"modulation", nlohmann::json::object()}};
  auto& tensors = checkpoint.tensors.tensors;
  for (const auto& [name, tensor] : network_.named_tensors())
    tensors.emplace_back(network_prefix + name, tensor);
  tensors.emplace_back("optimizer", trainer_.host_optimizer().saved());
  int index = 0;
  for (auto& generator : generators()) {
    const std::scoped_lock lock(generator.mutex());
    tensors.emplace_back("generator." + std::to_string(index++), generator.get_state());
  }
  if (plan.ids.defined()) tensors.emplace_back("plan.ids", plan.ids);
  if (plan.present.defined()) tensors.emplace_back("plan.present", plan.present);
  if (plan.weights.defined()) tensors.emplace_back("plan.weights", plan.weights);
  for (const auto& [name, sum] : trainer_.records().sums()) tensors.emplace_back(record_prefix + name, sum);
  SavingState saving(checkpoint);
  modulation_.call([&](Modulation& m) { m.visit(saving); });
  return checkpoint;
}

void RunState::restore_scalars(const Checkpoint& checkpoint) {
  const auto& s = checkpoint.scalars;
  if (s.at("hash") != request_.identity.value("hash", "")) {
    throw Error("the checkpoint in " + request_.folder.string() +
                " belongs to another run; remove the folder.");
  }
  Position& p = trainer_.position;
  const auto& position = s.at("position");
  position.at(0).get_to(p.epoch);
  position.at(1).get_to(p.passes);
  position.at(2).get_to(p.pass);
  position.at(3).get_to(p.batch);
  position.at(4).get_to(p.step);
  const auto& best = s.at("best");
  best.at("epoch").get_to(best_epoch);
  best.at("score").get_to(best_score_);
  best.at("loss").get_to(best_loss_);
  best_validation = best.at("validation");
  s.at("metrics").get_to(metrics);
  PassCounts& counts = network_.counts();
  s.at("counts").at(0).get_to(counts.encoder_batches);
  s.at("counts").at(1).get_to(counts.encoder_absent_rows);
  s.at("counts").at(2).get_to(counts.fusion_batches);
  s.at("counts").at(3).get_to(trainer_.backward_passes());
  s.at("seconds").at(0).get_to(train_seconds);
  s.at("seconds").at(1).get_to(earlier_seconds_);
  RestoringState restoring(checkpoint, RestoringState::What::scalars);
  modulation_.call([&](Modulation& m) { m.visit(restoring); });
}

void RunState::restore_tensors(const Checkpoint& checkpoint) {
  const TensorFile& file = checkpoint.tensors;
  copy_into(network_, file, network_prefix);
  trainer_.host_optimizer().restore(file.at("optimizer"), checkpoint.scalars.at("updates"));
  const torch::Device device(request_.device);
  for (const auto& [name, tensor] : file.tensors) {
    if (name == "plan.ids") plan.ids = tensor;
    if (name == "plan.present") plan.present = tensor;
    if (name == "plan.weights") plan.weights = tensor;
  }
  for (const auto& entry : checkpoint.scalars.at("records")) {
    const auto name = entry.at(0).get<std::string>();
    trainer_.records().restore(name, entry.at(1), file.at(record_prefix + name).to(device));
  }
  RestoringState restoring(checkpoint, RestoringState::What::tensors);
  modulation_.call([&](Modulation& m) { m.visit(restoring); });
  int index = 0;
  for (auto& generator : generators()) {
    const std::scoped_lock lock(generator.mutex());
    generator.set_state(file.at("generator." + std::to_string(index++)));
  }
}

void RunState::keep_best(double score, double loss, const nlohmann::json& validation) {
  const bool better = best_epoch == 0 || score > best_score_ || (score == best_score_ && loss < best_loss_);
  if (!better) return;
  best_epoch = trainer_.position.epoch + 1;
  best_score_ = score;
  best_loss_ = loss;
  best_validation = validation;
  TensorFile file;
  file.metadata["run"] = request_.identity.value("hash", "");
  file.metadata["epoch"] = std::to_string(best_epoch);
  file.tensors = network_.named_tensors();
  write_tensors(request_.folder / "weights.safetensors", file);
}

void RunState::load_best() { copy_into(network_, read_tensors(request_.folder / "weights.safetensors"), ""); }

void RunState::write_metrics() const {
  std::string lines;
  for (const auto& line : metrics) lines += line + "\n";
  write_file(request_.folder / "metrics.jsonl", lines);
  write_file(request_.folder / "events.out.tfevents.poise", tensorboard_events(metrics, wall_time()));
}

}  // namespace poise
