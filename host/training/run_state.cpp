#include "training/run_state.h"

#include <ATen/ATen.h>

#include "poise/error.h"
#include "poise/files.h"
#include "training/clock.h"
#include "training/events.h"
#include "training/generators.h"

namespace poise {
namespace {

const std::string network_prefix = "network.";
const std::string record_prefix = "record.";
const std::string generator_prefix = "generator.";
const std::string snapshot_prefix = "snapshot.";

}  // namespace

void load_weights(FusedNetwork& network, const std::filesystem::path& folder) {
  const TensorFile file = read_tensors(folder / "weights.safetensors");
  const torch::NoGradGuard no_gradients;
  for (auto& [name, tensor] : network.named_tensors()) {
    // A module that the modulation added after that epoch has no part in the prediction of its time.
    const bool is_late = name.starts_with("own.") && !file.has(name);
    if (!is_late) tensor.copy_(file.at(name));
  }
}

RunState::RunState(FusedNetwork& network, HostTrainer& trainer, const Loaded<Modulation>& modulation,
                   const RunRequest& request, double started)
    : network_(network), trainer_(trainer), modulation_(modulation), request_(request), started_(started) {}

double RunState::total_seconds() const { return earlier_seconds_ + now() - started_; }

Checkpoint RunState::checkpoint() {
  Checkpoint checkpoint;
  const Position& p = trainer_.position;
  const PassCounts& counts = network_.counts();
  checkpoint.scalars = {{"hash", request_.identity.value("hash", "")},
                        {"position", {p.epoch, p.passes, p.pass, p.batch, p.step, p.batches}},
                        {"optimizer", trainer_.host_optimizer().saved_parts()},
                        {"stopped", trainer_.stopped},
                        {"snapshots", nlohmann::json::array()},
                        {"best",
                         {{"epoch", best_epoch},
                          {"score", best_score_},
                          {"loss", best_loss_},
                          {"validation", best_validation}}},
                        {"metrics", metrics},
                        {"records", trainer_.records().weights()},
                        {"counts",
                         {counts.encoder_batches, counts.encoder_absent_rows, counts.fusion_batches,
                          trainer_.backward_passes(), trainer_.extra_samples()}},
                        {"seconds", {train_seconds, total_seconds(), trainer_.method_seconds()}},
                        {"modulation", nlohmann::json::object()}};
  auto& tensors = checkpoint.tensors.tensors;
  for (const auto& [name, tensor] : network_.named_tensors())
    tensors.emplace_back(network_prefix + name, tensor);
  tensors.emplace_back("optimizer", trainer_.host_optimizer().saved());
  int index = 0;
  for (const auto& state : generator_states(torch::Device(request_.device))) {
    tensors.emplace_back(generator_prefix + std::to_string(index++), state);
  }
  for (const auto& [name, snapshot] : trainer_.snapshots()) {
    checkpoint.scalars["snapshots"].push_back(name);
    const std::string prefix = snapshot_prefix + name + ".";
    for (const auto& [key, tensor] : snapshot.tensors)
      tensors.emplace_back(prefix + network_prefix + key, tensor);
    tensors.emplace_back(prefix + "optimizer", snapshot.optimizer);
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
  position.at(5).get_to(p.batches);
  s.at("stopped").get_to(trainer_.stopped);
  const auto& best = s.at("best");
  best.at("epoch").get_to(best_epoch);
  best.at("score").get_to(best_score_);
  best.at("loss").get_to(best_loss_);
  best_validation = best.at("validation");
  s.at("metrics").get_to(metrics);
  s.at("seconds").at(0).get_to(train_seconds);
  s.at("seconds").at(1).get_to(earlier_seconds_);
  s.at("seconds").at(2).get_to(trainer_.method_seconds());
  RestoringState restoring(checkpoint, RestoringState::What::scalars);
  modulation_.call([&](Modulation& m) { m.visit(restoring); });
}

void RunState::restore_tensors(const Checkpoint& checkpoint) {
  const TensorFile& file = checkpoint.tensors;
  {
    // Into the network's own tensors, so that the optimizer's and the plugins' handles stay valid.
    const torch::NoGradGuard no_gradients;
    for (auto& [name, tensor] : network_.named_tensors()) tensor.copy_(file.at(network_prefix + name));
  }
  // What begin() has looked at again was counted before.
  PassCounts& counts = network_.counts();
  const auto& counted = checkpoint.scalars.at("counts");
  counted.at(0).get_to(counts.encoder_batches);
  counted.at(1).get_to(counts.encoder_absent_rows);
  counted.at(2).get_to(counts.fusion_batches);
  counted.at(3).get_to(trainer_.backward_passes());
  counted.at(4).get_to(trainer_.extra_samples());
  trainer_.host_optimizer().restore_parts(checkpoint.scalars.at("optimizer"));
  trainer_.host_optimizer().restore(file.at("optimizer"));
  restore_snapshots(checkpoint);
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
  std::vector<torch::Tensor> states;
  for (std::size_t i = 0; i < generator_states(device).size(); ++i) {
    states.push_back(file.at(generator_prefix + std::to_string(i)));
  }
  set_generator_states(device, states);
}

void RunState::restore_snapshots(const Checkpoint& checkpoint) {
  const torch::Device device(request_.device);
  for (const auto& entry : checkpoint.scalars.at("snapshots")) {
    const auto name = entry.get<std::string>();
    const std::string prefix = snapshot_prefix + name + ".";
    Snapshot& snapshot = trainer_.snapshots()[name];
    const std::string of_network = prefix + network_prefix;
    for (const auto& [key, tensor] : checkpoint.tensors.tensors) {
      if (key.starts_with(of_network)) snapshot.tensors[key.substr(of_network.size())] = tensor.to(device);
    }
    snapshot.optimizer = checkpoint.tensors.at(prefix + "optimizer");
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

void RunState::write_metrics() const {
  std::string lines;
  for (const auto& line : metrics) lines += line + "\n";
  write_file(request_.folder / "metrics.jsonl", lines);
  write_file(request_.folder / "events.out.tfevents.poise", tensorboard_events(metrics, wall_time()));
}

}  // namespace poise
