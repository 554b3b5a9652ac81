#include "training/run_loop.h"

#include <sys/resource.h>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "poise/error.h"
#include "poise/files.h"
#include "training/checkpoint.h"
#include "training/clock.h"
#include "training/data.h"
#include "training/evaluation.h"
#include "training/metrics.h"
#include "training/run_state.h"

namespace poise {
namespace {

double peak_memory_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::vector<Modality> used_modalities(const RunPlugins& plugins) {
  const auto all = plugins.dataset.call([](const Dataset& d) { return d.modalities(); });
  std::vector<Modality> used;
  for (const int m : plugins.modalities) used.push_back(all.at(static_cast<std::size_t>(m)));
  return used;
}

/// One run, from its plugins to result.json.
class Run {
 public:
  Run(const RunRequest& request, const RunPlugins& plugins, Progress& progress)
      : request_(request), plugins_(plugins), progress_(progress), device_(request.device) {}

  Outcome go() {
    progress_.begin_run(request_.label, request_.folder);
    started_ = now();
    data_.emplace(request_, plugins_);
    auto teachers = make_teachers();
    torch::manual_seed(request_.seed);
    FusedNetwork network(used_modalities(plugins_), plugins_.encoders, plugins_.fusion, task());
    network.place(device_);
    HostTrainer trainer(network, plugins_.modulation, request_, &*data_);
    trainer.teachers = std::move(teachers);
    network_ = &network;
    trainer_ = &trainer;
    state_ = std::make_unique<RunState>(network, trainer, plugins_.modulation, request_, started_);
    begin();
    while (trainer.position.epoch < request_.train.epochs && !trainer.stopped) {
      if (!train_epoch()) return Outcome::interrupted;
      finish_epoch();
    }
    write_result();
    progress_.end_run();
    return Outcome::finished;
  }

 private:
  Task task() const {
    return plugins_.dataset.call([](const Dataset& d) { return d.task(); });
  }

  /// Networks of one modality each with the weights of runs that trained it alone.
  std::vector<std::unique_ptr<FusedNetwork>> make_teachers() {
    std::vector<std::unique_ptr<FusedNetwork>> teachers;
    for (const auto& [folder, plugins] : request_.teachers) {
      teachers.push_back(std::make_unique<FusedNetwork>(used_modalities(*plugins), plugins->encoders,
                                                        plugins->fusion, task()));
      teachers.back()->place(device_);
      load_weights(*teachers.back(), folder);
      teachers.back()->begin_evaluation();
    }
    return teachers;
  }

  void begin() {
    const auto checkpoint =
        load_checkpoint(request_.folder, [&](const std::string& note) { progress_.note(note); });
    if (checkpoint) state_->restore_scalars(*checkpoint);
    plugins_.modulation.call([&](Modulation& m) { m.begin(*trainer_); });
    if (checkpoint) {
      state_->restore_tensors(*checkpoint);
      state_->write_metrics();
    }
  }

  /// The rest of the epoch in progress. False when it was interrupted, after a checkpoint.
  bool train_epoch() {
    auto& position = trainer_->position;
    epoch_started_ = now();
    epoch_samples_ = 0;
    if (position.passes == 0) {
      plugins_.modulation.call([&](Modulation& m) { m.begin_epoch(*trainer_); });
      network_->forget();
      position.passes = plugins_.modulation.call([&](Modulation& m) { return m.passes(*trainer_); });
      if (position.passes < 1) {
        throw Error("modulation " + plugins_.modulation.name.name + " asks for " +
                    std::to_string(position.passes) + " passes of an epoch, but must ask for 1 or more.");
      }
      plan_pass();
    }
    while (true) {
      if (!train_pass()) return false;
      if (++position.pass == position.passes) return true;
      position.batch = 0;
      plan_pass();
    }
  }

  void plan_pass() {
    auto& position = trainer_->position;
    auto plan = plugins_.modulation.call([&](Modulation& m) { return m.plan(*trainer_); });
    network_->forget();
    if (!plan) {
      plan = Plan{.ids = data_->shuffled(position.epoch, position.pass), .present = {}, .weights = {}};
    }
    state_->plan = std::move(*plan);
    position.batches =
        static_cast<std::int64_t>(batch_bounds(state_->plan.ids.size(0), request_.train.batch_size).size());
  }

  bool train_pass() {
    auto& position = trainer_->position;
    const Plan& plan = state_->plan;
    auto train = data_->source(Split::train);
    train.ids = plan.ids;
    train.seed = mixed(request_.seed, position.epoch, position.pass);
    train.first_batch = position.batch;
    const auto bounds = batch_bounds(plan.ids.size(0), request_.train.batch_size);
    BatchStream stream(std::move(train));
    while (auto batch = stream.next()) {
      const auto [first, last] = bounds[static_cast<std::size_t>(position.batch)];
      if (plan.present.defined()) {
        *batch = network_->masked(*batch, plan.present.slice(0, first, last).to(device_));
      }
      if (plan.weights.defined()) batch->weights = plan.weights.slice(0, first, last).to(device_);
      set_rate(static_cast<std::int64_t>(bounds.size()));
      trainer_->train_step(*batch);
      if (first_step_seconds_ == 0) first_step_seconds_ = now() - started_;
      epoch_samples_ += batch->size();
      ++position.batch;
      ++position.step;
      progress_.step((static_cast<double>(position.epoch) + epoch_fraction(bounds.size())) /
                     static_cast<double>(request_.train.epochs));
      if (stop_requested()) {
        save();
        progress_.end_run();
        return false;
      }
    }
    return true;
  }

  double epoch_fraction(std::size_t batches) const {
    const auto& position = trainer_->position;
    return (static_cast<double>(position.pass) +
            static_cast<double>(position.batch) / static_cast<double>(batches)) /
           static_cast<double>(position.passes);
  }

  /// The schedule counts in steps of a plain epoch; an epoch of another length passes through it in proportion.
  void set_rate(std::int64_t batches) {
    const auto& position = trainer_->position;
    const std::int64_t within =
        (position.pass * batches + position.batch) * data_->epoch_steps() / (position.passes * batches);
    trainer_->host_optimizer().set_schedule_factor(
        schedule_factor(request_.train.schedule, position.epoch * data_->epoch_steps() + within,
                        data_->epoch_steps(), request_.train.epochs));
  }

  void finish_epoch() {
    auto& position = trainer_->position;
    trainer_->host_optimizer().check_finite();
    plugins_.modulation.call([&](Modulation& m) { m.end_epoch(*trainer_); });
    network_->forget();
    const double trained = now() - epoch_started_;
    state_->train_seconds += trained;
    const Score validation =
        evaluate(*network_, plugins_.modulation, *trainer_, data_->source(Split::validation));

    auto& records = trainer_->records();
    EpochReport report{position.epoch + 1,
                       request_.train.epochs,
                       records.mean(train_loss_record).at(0),
                       validation.metrics.front(),
                       {},
                       static_cast<double>(epoch_samples_) / trained};
    for (std::size_t m = 0; m < validation.modality.size(); ++m) {
      report.modalities.emplace_back(network_->modality_name(static_cast<int>(m)), validation.modality[m]);
    }
    state_->metrics.push_back(metrics_line(*network_, *trainer_, validation, now() - epoch_started_));
    state_->keep_best(validation.main(), validation.loss, as_json(*network_, validation));
    records.clear();
    position.epoch += 1;
    position.passes = position.pass = position.batch = 0;
    position.batches = data_->epoch_steps();
    state_->plan = Plan{};
    progress_.epoch(report);
    save();
    state_->write_metrics();
  }

  void save() { save_checkpoint(request_.folder, state_->checkpoint()); }

  void write_result() {
    load_weights(*network_, request_.folder);
    const Score test = evaluate(*network_, plugins_.modulation, *trainer_, data_->source(Split::test));
    const auto& counts = network_->counts();
    const auto steps = static_cast<double>(trainer_->position.step);
    auto passes = nlohmann::json::object();
    auto rows = nlohmann::json::object();
    for (int m = 0; m < network_->modalities(); ++m) {
      const auto index = static_cast<std::size_t>(m);
      passes[network_->modality_name(m)] = static_cast<double>(counts.encoder_batches[index]) / steps;
      rows[network_->modality_name(m)] = static_cast<double>(counts.encoder_absent_rows[index]) / steps;
    }
    std::int64_t parameters = 0;
    for (const auto& parameter : network_->parameters()) parameters += parameter.numel();

    nlohmann::ordered_json result(request_.identity);
    result["metric"] = main_metric(network_->task());
    result["parameters"] = parameters;
    result["epochs"] = trainer_->position.epoch;
    result["best_epoch"] = state_->best_epoch;
    result["validation"] = state_->best_validation;
    result["test"] = as_json(*network_, test);
    result["cost"] = {{"steps", trainer_->position.step},
                      {"encoder_passes_per_step", passes},
                      {"absent_rows_per_step", rows},
                      {"fusion_passes_per_step", static_cast<double>(counts.fusion_batches) / steps},
                      {"backward_passes_per_step", static_cast<double>(trainer_->backward_passes()) / steps},
                      {"extra_passes_per_epoch", static_cast<double>(trainer_->extra_samples()) /
                                                     static_cast<double>(data_->samples(Split::train)) /
                                                     static_cast<double>(trainer_->position.epoch)},
                      {"first_step_seconds", first_step_seconds_},
                      {"train_seconds", state_->train_seconds},
                      {"method_seconds", trainer_->method_seconds()},
                      {"total_seconds", state_->total_seconds()},
                      {"peak_memory_mib", peak_memory_mib()}};
    write_file(request_.folder / "result.json", result.dump(2) + "\n");
    remove_checkpoints(request_.folder);
  }

  const RunRequest& request_;
  const RunPlugins& plugins_;
  Progress& progress_;
  torch::Device device_;
  std::optional<Data> data_;
  FusedNetwork* network_ = nullptr;
  HostTrainer* trainer_ = nullptr;
  std::unique_ptr<RunState> state_;
  double started_ = 0;
  double epoch_started_ = 0;
  double first_step_seconds_ = 0;
  std::int64_t epoch_samples_ = 0;
};

}  // namespace

Outcome run_loop(const RunRequest& request, const RunPlugins& plugins, Progress& progress) {
  return Run(request, plugins, progress).go();
}

}  // namespace poise
