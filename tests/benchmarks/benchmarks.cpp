// What a training step costs, as a ratio to another step of the same network: the median over interleaved rounds in
// one process of the ratio within a round, and another begins each round, so that the machine's mood falls on all
// alike. Batch 64, 2 threads, audio 112x112 and image 28x28 as in AV-MNIST, SGD with momentum.
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

#include "plugins/catalog.h"
#include "plugins/loader.h"
#include "poise/error.h"
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
    }
    const Contestant& joint = contestants_.front();
    std::printf("%s, %s: joint step %.2f ms\n", encoder_.c_str(), fusion_name_.c_str(),
                1e3 * median(joint.seconds));
    for (std::size_t i = 1; i < contestants_.size(); ++i) {
      const bool is_baseline = contestants_[i].trainer == nullptr;
      is_baseline ? print(joint, contestants_[i]) : print(contestants_[i], joint);
    }
    std::fflush(stdout);
  }

 private:
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
};

}  // namespace

int main() {
  try {
    at::set_num_threads(2);
    for (const std::string encoder : {"lenet", "resnet18"}) {
      Bench bench(encoder, "concat");
      bench.add("joint", "");
      bench.add("agm", "");
      bench.add("ogm_ge", "alpha = 0.3");
      bench.add_hand_written();
      bench.run();
    }
    for (const std::string fusion : {"sum", "film", "gated", "attention", "maxout", "mmtm"}) {
      Bench bench("lenet", fusion);
      bench.add("joint", "");
      bench.add("agm", "");
      bench.run();
    }
  } catch (const poise::Error& error) {
    std::cerr << "poise_benchmarks: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
