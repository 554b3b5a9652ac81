// Re-learning on features that a test chooses, against values that tests/oracles/relearning.py found by trying every
// partition, before this plugin was written.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kmeans.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace poise::testing;
using poise::Batch;
using poise::Split;
using torch::Tensor;

Tensor labels_of(const nlohmann::json& json) { return tensor_of(json).to(at::kLong); }

/// Its inputs are its features; beside them it has parameters.
class FixedFeatures : public poise::Network {
 public:
  explicit FixedFeatures(int modalities) : encoder(static_cast<std::size_t>(modalities)) {}

  int modalities() const override { return static_cast<int>(encoder.size()); }
  std::int64_t outputs() const override { return 3; }
  Tensor encode(const Batch& batch, int m) override { return batch.inputs.at(static_cast<std::size_t>(m)); }
  std::vector<Tensor> parameters(poise::Role role, int m) const override {
    return role == poise::Role::encoder ? encoder.at(static_cast<std::size_t>(m)) : std::vector<Tensor>();
  }

  // The method needs none of these.
  const std::string& modality_name(int /*m*/) const override { throw std::logic_error("modality_name"); }
  std::int64_t width(int /*m*/) const override { throw std::logic_error("width"); }
  bool additive() const override { return false; }
  const std::vector<Tensor>& features(const Batch& /*batch*/) override { throw std::logic_error("features"); }
  Tensor logits(const Batch& /*batch*/) override { throw std::logic_error("logits"); }
  Tensor logits(const Batch& /*batch*/, const std::vector<poise::Subset>& /*subsets*/) override {
    throw std::logic_error("logits");
  }
  Tensor feature(const Batch& /*batch*/) override { throw std::logic_error("feature"); }
  Tensor share(const Batch& /*batch*/, int /*m*/) override { throw std::logic_error("share"); }
  poise::FusionOutput fuse(const Batch& /*batch*/, const std::vector<Tensor>& /*features*/,
                           const Tensor& /*keep*/) override {
    throw std::logic_error("fuse");
  }
  poise::Fusion& fusion() override { throw std::logic_error("fusion"); }
  std::vector<Tensor> parameters() const override { throw std::logic_error("parameters"); }
  std::vector<Tensor> parameters(poise::Role /*role*/) const override {
    throw std::logic_error("parameters");
  }

  std::vector<std::vector<Tensor>> encoder;  ///< parameters
};

/// v <- momentum v + g, p <- p - rate v for one parameter.
class OneParameterSgd : public poise::testing::NoUpdates {
 public:
  void zero() override { throw std::logic_error("zero"); }
  void step() override {
    const at::NoGradGuard no_grad;
    buffer = buffer.defined() ? momentum * buffer + parameter.grad() : parameter.grad();
    parameter.sub_(rate * buffer);
  }
  void step(const std::vector<Tensor>& /*parameters*/) override { throw std::logic_error("step"); }
  void forget(const std::vector<Tensor>& parameters) override {
    for (const auto& each : parameters) {
      if (each.is_same(parameter)) buffer = Tensor();
    }
  }

  double rate = 0;
  double momentum = 0;
  Tensor parameter;
  Tensor buffer;
};

/// Shows a split in batches of four.
class SplitTrainer : public RecordingTrainer {
 public:
  explicit SplitTrainer(poise::Network& network) : RecordingTrainer(network) {}

  poise::Optimizer& optimizer() override { return sgd; }
  std::int64_t samples(Split split) const override { return data.at(split).targets.size(0); }
  void for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) override {
    if (!ids.defined()) visits[split] += 1;
    const Batch& all = data.at(split);
    const Tensor rows = ids.defined() ? ids : at::arange(samples(split), at::kLong);
    for (const Tensor& part : rows.split(4)) {
      Batch batch;
      batch.targets = all.targets.index_select(0, part);
      for (const Tensor& input : all.inputs) batch.inputs.push_back(input.index_select(0, part));
      if (!see(batch)) return;
    }
  }

  std::map<Split, Batch> data;
  std::map<Split, int> visits;  ///< of a whole split
  OneParameterSgd sgd;
};

/// The oracle's splits, and the epoch at whose end they are diagnosed.
struct Scene {
  explicit Scene(const nlohmann::json& one_case)
      : network(static_cast<int>(one_case.at("modalities").size())) {
    torch::manual_seed(3);
    for (const auto& [split, name] : {std::pair{Split::train, "train"}, {Split::validation, "validation"}}) {
      Batch& all = trainer.data[split];
      for (const auto& modality : one_case.at("modalities")) {
        all.inputs.push_back(tensor_of(modality.at(name).at("features")));
        all.targets = labels_of(modality.at(name).at("targets"));
      }
    }
    trainer.current_epoch = 20;
  }

  FixedFeatures network;
  SplitTrainer trainer{network};
};

nlohmann::json oracle_of(const std::string& part) { return oracle("relearning").at(part); }

/// The same partition, numbered in the order of the first points.
Tensor numbered(const Tensor& clusters) {
  std::map<std::int64_t, std::int64_t> numbers;
  const Tensor result = clusters.clone();
  for (std::int64_t i = 0; i < clusters.size(0); ++i) {
    const auto next = static_cast<std::int64_t>(numbers.size());
    result[i] = numbers.emplace(clusters[i].item<std::int64_t>(), next).first->second;
  }
  return result;
}

TEST(KMeans, FindsTheBestOfAllPartitions) {
  torch::manual_seed(1);
  const auto cases = oracle_of("diagnosis");
  for (const auto& [name, one_case] : cases.items()) {
    for (const auto& modality : one_case.at("modalities")) {
      for (const std::string split : {"train", "validation"}) {
        const auto& expected = modality.at(split);
        const Tensor x = relearning::scale(tensor_of(expected.at("features")));
        EXPECT_TRUE(at::allclose(x, tensor_of(expected.at("scaled")), 1e-12, 1e-12)) << name << split;
        const auto found = relearning::kmeans(x, one_case.at("classes"));
        EXPECT_TRUE(at::equal(numbered(found.clusters), labels_of(expected.at("clusters")))) << name << split;
        EXPECT_NEAR(found.inertia / expected.at("inertia").get<double>(), 1, 1e-10) << name << split;
        EXPECT_LT(found.inertia, expected.at("runner_up").get<double>()) << name << split;
        // Centres in the order of the clusters' first points, as the oracle has them.
        const Tensor centres = tensor_of(expected.at("centres"));
        const Tensor of_points = found.centres.index_select(0, found.clusters);
        EXPECT_TRUE(at::allclose(of_points, centres.index_select(0, numbered(found.clusters)), 1e-10, 1e-12));
        EXPECT_EQ(relearning::purity(found.clusters, labels_of(expected.at("targets"))),
                  expected.at("purity").get<double>());
      }
    }
  }
}

TEST(KMeans, GoesWhereLloydsIterationsGo) {
  const auto expected = oracle_of("lloyd");
  const auto found = relearning::lloyd(tensor_of(expected.at("points")), tensor_of(expected.at("start")));
  EXPECT_TRUE(at::equal(found.clusters, labels_of(expected.at("clusters"))));
  EXPECT_LT(difference(found.centres, tensor_of(expected.at("centres"))), 1e-12);
  EXPECT_NEAR(found.inertia / expected.at("inertia").get<double>(), 1, 1e-12);
}

TEST(KMeans, ScalesConstantColumnsAndCountsTheMostFrequentLabelOfACluster) {
  const auto given = oracle_of("given");
  const Tensor x = relearning::scale(tensor_of(given.at("features")));
  EXPECT_TRUE(at::allclose(x, tensor_of(given.at("scaled")), 1e-12, 1e-12));
  const Tensor clusters = relearning::nearest(x, tensor_of(given.at("centres")));
  EXPECT_TRUE(at::equal(clusters, labels_of(given.at("clusters"))));
  const double purity = relearning::purity(clusters, labels_of(given.at("targets")));
  EXPECT_DOUBLE_EQ(purity, given.at("purity").get<double>());
  EXPECT_GT(std::abs(purity - given.at("mistake_purity_number").get<double>()), 0.1);
}

TEST(KMeans, HasMoreCentresThanDistinctPointsIfAsked) {
  torch::manual_seed(1);
  const Tensor which = at::arange(4, at::kLong).remainder(2);
  const auto found = relearning::kmeans(which.to(at::kDouble).unsqueeze(1), 3);
  EXPECT_EQ(found.inertia, 0);
  EXPECT_EQ(found.centres.size(0), 3);
  EXPECT_TRUE(at::equal(numbered(found.clusters), which));
}

TEST(KMeans, DrawsItsStartsFromTheDefaultGenerator) {
  torch::manual_seed(1);
  const Tensor points = at::rand({200, 3}, at::kDouble);
  const auto centres = [&](std::uint64_t seed) {
    torch::manual_seed(seed);
    return relearning::spread_centres(points, 4);
  };
  EXPECT_TRUE(same_bits(centres(1), centres(1)));
  EXPECT_FALSE(same_bits(centres(1), centres(2)));
}

TEST(Relearning, HasTheOraclesPuritiesAndWeights) {
  const auto cases = oracle_of("diagnosis");
  for (const auto& [name, one_case] : cases.items()) {
    Scene scene(one_case);
    const auto plugin = make<poise::Modulation>("lambda = " + one_case.at("lambda").dump());
    plugin->begin(scene.trainer);
    plugin->end_epoch(scene.trainer);
    const Tensor w = scene.trainer.recorded.at("w");
    EXPECT_TRUE(at::allclose(w, tensor_of(one_case.at("w")), 1e-12, 1e-15)) << name << w;
    for (std::size_t m = 0; m < one_case.at("modalities").size(); ++m) {
      for (const std::string split : {"train", "validation"}) {
        EXPECT_EQ(scene.trainer.recorded.at("purity_" + split)[static_cast<std::int64_t>(m)].item<double>(),
                  one_case.at("modalities").at(m).at(split).at("purity").get<double>())
            << name << m << split;
      }
    }
    int mistakes = 0;
    for (const auto& [key, wrong] : one_case.items()) {
      if (!key.starts_with("mistake_w_")) continue;
      mistakes += 1;
      EXPECT_GT((w - tensor_of(wrong)).abs().max().item<double>(), 0.05) << name << key;
    }
    EXPECT_EQ(mistakes, 5) << name;
  }
}

/// Re-learns with lambda so that modality m has the oracle's weight of parameters, and returns what became of them.
std::map<std::string, Tensor> relearnt(int m, const std::string& options = "") {
  const auto parameters = oracle_of("parameters");
  const auto one_case = oracle_of("diagnosis").at("two");
  const auto weight = [m](const nlohmann::json& of) {
    return of.at("w").at(static_cast<std::size_t>(m)).get<double>();
  };
  const double gap = std::atanh(weight(one_case)) / one_case.at("lambda").get<double>();
  const std::string lambda = nlohmann::json(std::atanh(weight(parameters)) / gap).dump();
  Scene scene(one_case);
  const auto plugin = make<poise::Modulation>("lambda = " + lambda + "\n" + options);

  std::map<std::string, Tensor> now;
  for (const auto& [name, value] : parameters.at("start").items()) {
    now[name] = tensor_of(value).requires_grad_();
    if (name.starts_with("encoder") && name.find("running") == std::string::npos) {
      scene.network.encoder.at(name[8] == '0' ? 0 : 1).push_back(now[name]);
    }
  }
  plugin->begin(scene.trainer);
  auto& sgd = scene.trainer.sgd;
  const auto momentum = oracle_of("momentum");
  sgd.parameter = now.at("encoder.0.weight");
  sgd.buffer = tensor_of(momentum.at("buffer"));
  sgd.rate = momentum.at("rate");
  sgd.momentum = momentum.at("momentum");
  {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : now) tensor.copy_(tensor_of(parameters.at("before").at(name)));
  }
  plugin->end_epoch(scene.trainer);
  std::map<std::string, Tensor> after;
  for (const auto& [name, tensor] : now) after[name] = tensor.detach().clone();
  sgd.parameter.mutable_grad() = tensor_of(momentum.at("gradient"));
  sgd.step();
  after["stepped"] = sgd.parameter.detach();
  return after;
}

TEST(Relearning, TakesEveryParameterOfAnEncoderBackInPlace) {
  const auto expected = oracle_of("parameters");
  for (const int m : {0, 1}) {
    const auto after = relearnt(m);
    for (const auto& [name, value] : expected.at("after").items()) {
      const bool is_other_encoder = name.starts_with(m == 0 ? "encoder.1" : "encoder.0");
      if (is_other_encoder) continue;
      const Tensor right = tensor_of(value);
      EXPECT_TRUE(at::allclose(after.at(name), right, 1e-12, 1e-14)) << name << after.at(name);
      const Tensor swapped = tensor_of(expected.at("mistake_after_swapped").at(name));
      const Tensor buffers = tensor_of(expected.at("mistake_after_buffers").at(name));
      for (const Tensor& wrong : {swapped, buffers}) {
        // A mistake concerns some of the tensors.
        if (at::allclose(wrong, right)) continue;
        EXPECT_GT((after.at(name) - wrong).abs().max().item<double>(), 1e-3) << name;
      }
    }
  }
}

TEST(Relearning, KeepsTheMomentumOrForgetsIt) {
  const auto momentum = oracle_of("momentum");
  EXPECT_LT(difference(relearnt(0).at("stepped"), tensor_of(momentum.at("kept"))), 1e-12);
  EXPECT_LT(difference(relearnt(0, "momentum = \"keep\"").at("stepped"), tensor_of(momentum.at("kept"))),
            1e-12);
  EXPECT_LT(
      difference(relearnt(0, "momentum = \"forget\"").at("stepped"), tensor_of(momentum.at("forgotten"))),
      1e-12);
}

TEST(Relearning, HappensAtTheEndOfTheOraclesEpochs) {
  for (const auto& expected : oracle_of("schedule")) {
    Scene scene(oracle_of("diagnosis").at("two"));
    const auto plugin = make<poise::Modulation>("reinit_epoch = " + expected.at("reinit_epoch").dump() +
                                                "\nreinit_num = " + expected.at("reinit_num").dump());
    plugin->begin(scene.trainer);
    std::vector<int> happened;
    for (int epoch = 0; epoch < expected.at("epochs").get<int>(); ++epoch) {
      scene.trainer.current_epoch = epoch;
      scene.trainer.visits.clear();
      plugin->end_epoch(scene.trainer);
      if (scene.trainer.visits[Split::train] == 0) continue;
      EXPECT_EQ(scene.trainer.visits[Split::train], 1) << "one pass serves all modalities";
      EXPECT_EQ(scene.trainer.visits[Split::validation], 1);
      happened.push_back(epoch);
    }
    EXPECT_EQ(happened, expected.at("at").get<std::vector<int>>());
    EXPECT_NE(happened, expected.at("mistake_at").get<std::vector<int>>());
  }
}

TEST(Relearning, GoesBackToTheFirstStartAfterARestart) {
  const auto one_case = oracle_of("diagnosis").at("two");
  const auto run = [&](bool restarts) {
    Scene scene(one_case);
    scene.network.encoder[0] = {at::full({2}, 5.0, at::kDouble), at::full({1}, -3.0, at::kDouble)};
    scene.network.encoder[1] = {at::full({3}, 2.0, at::kDouble)};
    auto plugin = make<poise::Modulation>();
    plugin->begin(scene.trainer);
    for (auto& parameters : scene.network.encoder) {
      for (auto& parameter : parameters) parameter.zero_();
    }
    if (restarts) {
      StoredState stored;
      plugin->visit(stored);
      stored.restoring = true;
      plugin = make<poise::Modulation>();
      plugin->visit(stored);
      plugin->begin(scene.trainer);
      stored.tensors_now = true;
      plugin->visit(stored);
    }
    plugin->end_epoch(scene.trainer);
    return at::cat({scene.network.encoder[0][0], scene.network.encoder[0][1], scene.network.encoder[1][0]});
  };
  EXPECT_TRUE(same_bits(run(true), run(false)));
  const Tensor w = tensor_of(one_case.at("w"));
  EXPECT_NEAR(run(true)[0].item<double>(), 5 * w[0].item<double>(), 1e-12);
  EXPECT_NEAR(run(true)[3].item<double>(), 2 * w[1].item<double>(), 1e-12);
}

std::string refused(SplitTrainer& trainer) {
  try {
    make<poise::Modulation>()->begin(trainer);
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    return error.what();
  }
  return "";
}

TEST(Relearning, RefusesDataWithoutClassesOrValidation) {
  const auto one_case = oracle_of("diagnosis").at("two");
  Scene labels(one_case);
  labels.trainer.data[Split::validation].targets = at::zeros({8, 3});
  EXPECT_NE(refused(labels.trainer).find("the task has none"), std::string::npos);
  Scene empty(one_case);
  empty.trainer.data[Split::validation].targets = at::zeros({0}, at::kLong);
  EXPECT_NE(refused(empty.trainer).find("which has no samples"), std::string::npos);
  Scene good(one_case);
  EXPECT_EQ(refused(good.trainer), "");
}

TEST(Relearning, RefusesWhatItCannotUse) {
  expect_refused<poise::Modulation>("lambda = -1.0", "lambda is -1");
  expect_refused<poise::Modulation>("reinit_epoch = 0", "reinit_epoch");
  expect_refused<poise::Modulation>("momentum = \"drop\"", "forget");
}

}  // namespace

// Its epochs are two steps long.
POISE_CONFORMANCE("reinit_epoch = 1");
