// What a training step costs, as a ratio to another step of the same network: the median over interleaved rounds in
// one process of the ratio within a round, and another begins each round, so that the machine's mood falls on all
// alike. Batch 64, 2 threads, audio 112x112 and image 28x28 as in AV-MNIST, SGD with momentum.
//
// AGM's target is 1.07 (e E + (2^k - 1) F + U) / (E + F + U): E, F and U are the joint step's time for encoders, fusion
// (with the loss) and update, e is 1 where an encoder computes the same in both modes, else 2. Where the fusion acts
// inside the encoders the target is 3.15 for k = 2. What every method's own algebra costs follows (own_algebra.h).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include "own_algebra.h"
#include "plugins/catalog.h"
#include "plugins/loader.h"
#include "poise/error.h"
#include "poise/intermediate.h"
#include "poise/joint_training.h"
#include "training/layout.h"
#include "training/trainer.h"

namespace {

constexpr int rounds = 20;
constexpr std::int64_t rows = 64;

using poise::Batch;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[values.size() / 2] + values[(values.size() - 1) / 2]) / 2;
}

Batch random_batch() {
  Batch batch;
  batch.ids = at::arange(rows, at::kLong);
  batch.inputs = {at::randn({rows, 1, 112, 112}), at::randn({rows, 1, 28, 28})};
  batch.lengths.resize(2);
  batch.targets = at::randint(10, {rows}, at::kLong);
  return batch;
}

const poise::RunRequest& request() {
  static const poise::RunRequest made = [] {
    auto config = poise::Config::parse("optimizer = { lr = 0.01, momentum = 0.9, weight_decay = 1e-4 }");
    poise::RunRequest r{};
    r.train = poise::TrainSettings::read(config);
    return r;
  }();
  return made;
}

/// Two encoders of one kind, a fusion, and a way to take one step.
struct Contestant {
  std::string name;
  std::unique_ptr<poise::FusedNetwork> network;
  std::unique_ptr<poise::HostTrainer> trainer;
  std::function<void(const Batch&)> step;
  std::vector<double> seconds;
};

class Bench {
 public:
  Bench(std::string encoder, std::string fusion)
      : catalog_(poise::search_folders()), encoder_(std::move(encoder)), fusion_name_(std::move(fusion)) {}

  void add(const std::string& modulation, const std::string& options) {
    Contestant contestant = make(modulation);
    auto config = poise::Config::parse(options);
    const auto loaded = poise::load<poise::Modulation>(catalog_.find("modulation", modulation), config);
    contestant.trainer =
        std::make_unique<poise::HostTrainer>(*contestant.network, loaded, request(), nullptr);
    loaded.object->begin(*contestant.trainer);
    contestant.step = [trainer = contestant.trainer.get()](const Batch& batch) {
      trainer->train_step(batch);
    };
    contestants_.push_back(std::move(contestant));
  }

  /// The same network in the loop that one would write by hand over LibTorch.
  void add_hand_written() {
    Contestant contestant = make("hand-written joint");
    auto optimizer = std::make_shared<torch::optim::SGD>(
        contestant.network->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(1e-4));
    contestant.step = [optimizer, encoders = encoders_, fusion = fusion_](const Batch& batch) {
      optimizer->zero_grad();
      std::vector<torch::Tensor> features;
      for (std::size_t m = 0; m < encoders.size(); ++m) {
        features.push_back(encoders[m].object->forward(poise::channels_last_input(batch.inputs[m]), {}));
      }
      at::cross_entropy_loss(fusion.object->forward(features, {}).logits, batch.targets).backward();
      optimizer->step();
    };
    contestants_.push_back(std::move(contestant));
  }

  /// The joint step's fusion and loss, and its update, by themselves: for AGM's target, where it depends on them.
  void add_parts() {
    if (acts_inside()) return;
    add(poise::joint_training, "");
    Contestant update = std::move(contestants_.back());
    contestants_.pop_back();
    update.step(random_batch());  // leaves gradients
    update.step = [trainer = update.trainer.get()](const Batch& /*batch*/) {
      trainer->host_optimizer().step();
    };
    update.name = "update";

    Contestant fused = make("fusion");
    std::vector<torch::Tensor> features;
    for (int m = 0; m < 2; ++m)
      features.push_back(at::randn({rows, fused.network->width(m)}).requires_grad_());
    fused.step = [features, fusion = fusion_](const Batch& batch) {
      at::cross_entropy_loss(fusion.object->forward(features, batch.lengths).logits, batch.targets)
          .backward();
    };
    parts_.push_back(std::move(fused));
    parts_.push_back(std::move(update));
  }

  void run() {
    for (int round = -2; round < rounds; ++round) {  // two to warm up
      const Batch batch = random_batch();
      for (std::size_t i = 0; i < contestants_.size(); ++i) {
        Contestant& contestant =
            contestants_[(i + static_cast<std::size_t>(round + 2)) % contestants_.size()];
        const auto begin = std::chrono::steady_clock::now();
        contestant.step(batch);
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
        if (round >= 0) contestant.seconds.push_back(taken.count());
      }
      for (Contestant& part : parts_) {
        const auto begin = std::chrono::steady_clock::now();
        part.step(batch);
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
        if (round >= 0) part.seconds.push_back(taken.count());
      }
    }
    const Contestant& joint = contestants_.front();
    std::printf("%s, %s: joint step %.2f ms\n", encoder_.c_str(), fusion_name_.c_str(),
                1e3 * median(joint.seconds));
    for (std::size_t i = 1; i < contestants_.size(); ++i) {
      const bool is_baseline = contestants_[i].trainer == nullptr;
      is_baseline ? print(joint, contestants_[i]) : print(contestants_[i], joint);
    }
    std::printf("  agm's target is %.3f\n", agm_target());
    std::fflush(stdout);
  }

 private:
  [[nodiscard]] bool acts_inside() const {
    return dynamic_cast<const poise::IntermediateFusion*>(fusion_.object.get()) != nullptr;
  }

  [[nodiscard]] double agm_target() const {
    if (acts_inside()) return 3.15;
    const double step = median(contestants_.front().seconds);
    const double fusion = median(parts_[0].seconds);
    const double update = median(parts_[1].seconds);
    const double encoders = step - fusion - update;
    const double e = encoders_.front().object->modes_agree() ? 1 : 2;
    return 1.07 * (e * encoders + 3 * fusion + update) / step;
  }

  static void print(const Contestant& one, const Contestant& other) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < one.seconds.size(); ++i) ratios.push_back(one.seconds[i] / other.seconds[i]);
    std::printf("  %-8s %.3f of %s\n", one.name.c_str(), median(std::move(ratios)), other.name.c_str());
  }

  Contestant make(const std::string& name) {
    torch::manual_seed(1);
    encoders_.clear();
    auto none = poise::Config::parse("");
    for (int m = 0; m < 2; ++m) {
      encoders_.push_back(poise::load<poise::Encoder>(catalog_.find("encoder", encoder_), none));
    }
    fusion_ = poise::load<poise::Fusion>(catalog_.find("fusion", fusion_name_), none);
    Contestant contestant;
    contestant.name = name;
    contestant.network = std::make_unique<poise::FusedNetwork>(
        std::vector<poise::Modality>{{.name = "audio", .shape = {1, 112, 112}},
                                     {.name = "image", .shape = {1, 28, 28}}},
        encoders_, fusion_, poise::Task{.outputs = 10, .labels = {}});
    contestant.network->place(torch::kCPU);
    return contestant;
  }

  poise::Catalog catalog_;
  std::string encoder_;
  std::string fusion_name_;
  std::vector<poise::Loaded<poise::Encoder>> encoders_;
  poise::Loaded<poise::Fusion> fusion_;
  std::vector<Contestant> contestants_;
  std::vector<Contestant>
      parts_;  ///< the fusion's and the update's; none where the fusion acts inside the encoders
};

}  // namespace

int main() {
  try {
    at::set_num_threads(2);
    for (const std::string encoder : {"lenet", "resnet18"}) {
      Bench bench(encoder, "concat");
      bench.add(poise::joint_training, "");
      bench.add("agm", "");
      bench.add("ogm_ge", "alpha = 0.3");
      bench.add_hand_written();
      bench.add_parts();
      bench.run();
    }
    for (const std::string fusion : {"sum", "film", "gated", "attention", "maxout", "mmtm"}) {
      Bench bench("lenet", fusion);
      bench.add(poise::joint_training, "");
      bench.add("agm", "");
      bench.add_parts();
      bench.run();
    }
    poise::own_algebra();
  } catch (const poise::Error& error) {
    std::cerr << "poise_benchmarks: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
