// What a modulation keeps and what it leaves alone: checkpoints, parameters, the generator, memory.
#include <exception>
#include <fstream>
#include <string>

#include <malloc.h>
#include <unistd.h>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "accepted_designs.h"
#include "poise/error.h"

namespace poise::conformance {
namespace {

using reference::Bench;
using reference::Checkpoint;
using reference::Design;
using reference::take;

/// The first entry whose bits are not the other's; empty when all are the same.
std::string differing(const Checkpoint& a, const Checkpoint& b) {
  if (a.names() != b.names()) return "the list of names";
  for (const auto& [name, value] : a.numbers) {
    if (!same_bits(at::scalar_tensor(value, at::kDouble), at::scalar_tensor(b.numbers.at(name), at::kDouble)))
      return name;
  }
  for (const auto& [name, value] : a.integers) {
    if (value != b.integers.at(name)) return name;
  }
  for (const auto& [name, value] : a.tensors) {
    if (!same_bits(value, b.tensors.at(name))) return name;
  }
  return "";
}

Finding resume_continues(const Subject& subject, const Design& design) {
  // In the middle of the third epoch.
  constexpr int before = 5;
  constexpr int after = 4;
  Bench whole(design, make<Modulation>(subject), subject.seed);
  whole.begin();
  for (int step = 0; step < before; ++step) whole.train();
  auto saved = whole.save();
  for (int step = 0; step < after; ++step) whole.train();

  Bench resumed(design, make<Modulation>(subject), subject.seed);
  resumed.resume(saved);
  for (int step = 0; step < after; ++step) resumed.train();
  auto tensor = resumed.differs_from(whole);
  if (tensor.empty()) tensor = whole.differs_from(resumed);
  if (!tensor.empty()) return failed("a resumed run goes on with other bits: " + tensor);
  const auto entry = differing(resumed.save().modulation, whole.save().modulation);
  return entry.empty() ? passed() : failed("a resumed run ends with another state: " + entry);
}

Finding lost_state_is_refused(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.begin();
  bench.train();
  const auto saved = bench.save();
  const auto names = saved.modulation.names();
  if (names.empty()) return skipped("it keeps no state");
  for (const auto& name : names) {
    auto damaged = saved;
    damaged.modulation.remove(name);
    Bench resumed(design, make<Modulation>(subject), subject.seed);
    try {
      resumed.resume(damaged);
    } catch (const Error&) {
      continue;
    }
    return failed("it goes on from a checkpoint that lacks '" + name + "'");
  }
  return passed();
}

/// Whatever it does with them, the process must live: what it throws, the host tells.
Finding damaged_state_does_no_harm(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.begin();
  bench.train();
  const auto saved = bench.save();
  if (saved.modulation.tensors.empty()) return skipped("it keeps no tensors");
  for (const auto& [name, tensor] : saved.modulation.tensors) {
    const auto type = tensor.defined() ? tensor.scalar_type() : at::kFloat;
    for (const auto& damage : {torch::Tensor(), at::zeros({0}, type), at::zeros({2, 3, 5}, type)}) {
      auto damaged = saved;
      damaged.modulation.tensors[name] = damage;
      Bench resumed(design, make<Modulation>(subject), subject.seed);
      try {
        resumed.resume(damaged);
        resumed.train();
      } catch (const std::exception&) {
        // The host tells it as a sentence.
      }
    }
  }
  return passed();
}

Tensors values_of(const reference::Network& network) {
  Tensors values;
  for (const auto& [name, tensor] : network.named_tensors()) values.push_back(tensor.detach().clone());
  return values;
}

/// What a step without update has changed beside buffers as joint training leaves them; empty where it is nothing. A part
/// that the step does not run keeps its buffers; a fusion that runs again, and modules of its own, leave them as they like.
std::string changed_by_a_step(const Bench& ours, const Bench& joint, const Tensors& before) {
  const auto after = ours.network.named_tensors();
  const auto of_joint = joint.network.named_tensors();
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto& [name, tensor] = after.at(i);
    if (same_bits(tensor, before[i])) continue;
    if (tensor.requires_grad()) return name;
    const bool is_free =
        i >= of_joint.size() || (ours.network.fuse_calls() > 0 && name.starts_with("fusion."));
    if (!is_free && !same_bits(tensor, of_joint[i].second)) return name;
  }
  return "";
}

std::string changed_by_an_evaluation(Bench& bench) {
  const at::NoGradGuard no_grad;
  const auto before = values_of(bench.network);
  const Batch& batch = bench.trainer.train_data;
  const int k = bench.network.modalities();
  bench.network.begin_evaluation();
  bench.modulation->predict(batch, {Subset::all(k), Subset::only(0)}, bench.trainer);
  bench.modulation->feature(batch, bench.trainer);
  const auto after = bench.network.named_tensors();
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!same_bits(after.at(i).second, before[i])) return after[i].first;
  }
  return "";
}

Finding only_the_optimizer_updates(const Subject& subject, const Design& design) {
  Bench ours(design, make<Modulation>(subject), subject.seed);
  Bench joint(design, std::make_shared<Modulation>(), subject.seed);
  ours.trainer.optimizer().stands_still = true;
  joint.trainer.optimizer().stands_still = true;
  ours.begin();
  ours.modulation->begin_epoch(ours.trainer);
  ours.network.forget();
  joint.copy_weights(ours);
  const auto before = values_of(ours.network);
  const auto batch = take(ours.trainer.train_data, at::arange(8, at::kLong));
  for (auto* bench : {&ours, &joint}) {
    torch::manual_seed(subject.seed);
    bench->step(batch);
  }
  const auto by_step = changed_by_a_step(ours, joint, before);
  if (!by_step.empty())
    return failed("a step changes " + by_step + " beside the training pass and the update");
  const auto by_evaluation = changed_by_an_evaluation(ours);
  return by_evaluation.empty() ? passed() : failed("an evaluation changes " + by_evaluation);
}

Finding evaluation_draws_nothing(const Subject& subject, const Design& design) {
  Bench bench(design, make<Modulation>(subject), subject.seed);
  bench.begin();
  bench.train();
  const at::NoGradGuard no_grad;
  const auto before = generator_state();
  static_cast<void>(bench.modulation->requirements(design.modalities));
  static_cast<void>(bench.modulation->neutral_options());
  bench.network.begin_evaluation();
  const Batch& batch = bench.trainer.train_data;
  bench.modulation->predict(batch, {Subset::all(design.modalities), Subset::only(0)}, bench.trainer);
  bench.modulation->feature(batch, bench.trainer);
  return same_bits(generator_state(), before)
             ? passed()
             : failed("an evaluation draws from, or seeds, the default generator");
}

/// Of this process, in MiB, without what the allocator could give back.
double resident() {
  malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  double all = 0;
  double pages = 0;
  file >> all >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1048576;
}

Finding memory_is_flat(const Subject& subject, const Design& design) {
  if (std::string(POISE_BUILT_SANITIZER) != "none") return skipped("a sanitizer keeps freed memory");
  // Many samples, so that a batch, a feature or a graph that is kept shows.
  Bench bench(design, make<Modulation>(subject), subject.seed, 4096);
  bench.begin();
  for (int step = 0; step < 10; ++step) bench.train();
  const double before = resident();
  for (int step = 0; step < 50; ++step) bench.train();
  const double grown = resident() - before;
  if (grown >= 4) return failed(text("50 steps leave ", grown, " MiB more in memory"));
  return grown < 1 ? passed() : warning(text("50 steps leave ", grown, " MiB more in memory"));
}

/// One network is enough to see a leak.
Finding memory_is_flat_over_steps(const Subject& subject) {
  const auto designs = accepted_designs(subject);
  return designs.empty() ? skipped("it takes no network, see takes_a_network")
                         : memory_is_flat(subject, designs.back());
}

}  // namespace

Tensors modulation_result(const Subject& subject) {
  Tensors result;
  for (const auto& design : accepted_designs(subject)) {
    Bench bench(design, make<Modulation>(subject), subject.seed);
    bench.begin();
    for (int step = 0; step < 3; ++step) bench.train();
    for (const auto& [name, tensor] : bench.network.named_tensors()) result.push_back(tensor);
  }
  return result;
}

std::vector<Check> modulation_state_checks() {
  return {
      {"only_the_optimizer_updates",
       "Parameters change in the update alone, and buffers as the training pass leaves them.",
       &on_each_design<only_the_optimizer_updates>},
      {"evaluation_draws_nothing", "Evaluations leave the default generator alone.",
       &on_each_design<evaluation_draws_nothing>},
      {"resume_continues", "State saved and restored continues bit for bit.",
       &on_each_design<resume_continues>},
      {"lost_state_is_refused", "A checkpoint that lacks a part of its state is refused.",
       &on_each_design<lost_state_is_refused>},
      {"damaged_state_does_no_harm", "A damaged state does not end the process.",
       &on_each_design<damaged_state_does_no_harm>},
      {"memory_is_flat", "50 steps leave no memory behind.", &memory_is_flat_over_steps},
  };
}

}  // namespace poise::conformance
