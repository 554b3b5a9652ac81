// Re-learning on features that a test chooses, against values that tests/oracles/relearning.py found by trying every
// partition, before this plugin was written.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <nlohmann/json.hpp>

#include "kmeans.h"
#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"
#include "relearning_setting.h"

namespace {

using namespace poise::testing;
using namespace relearning_test;

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

TEST(Relearning, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>()->requirements(2);
  EXPECT_TRUE(needs.classification);
  EXPECT_TRUE(needs.extra_passes);
}

TEST(Relearning, RefusesWhatItCannotUse) {
  expect_refused<poise::Modulation>("lambda = -1.0", "lambda is -1");
  expect_refused<poise::Modulation>("reinit_epoch = 0", "reinit_epoch");
  expect_refused<poise::Modulation>("momentum = \"drop\"", "forget");
}

}  // namespace

// Its epochs are two steps long.
POISE_CONFORMANCE("reinit_epoch = 1");
