// Modality valuation on predictions that a test chooses, against values that tests/oracles/valuation.py derived with
// integers before this plugin was written.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/reference_trainer.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace poise::testing;
using poise::Batch;
using poise::Split;
using torch::Tensor;

/// Logits [2^k - 1, N, C] of every subset for every sample.
class FixedPredictions : public RefusingNetwork {
 public:
  explicit FixedPredictions(int modalities) : modalities_(modalities) {}

  int modalities() const override { return modalities_; }
  using RefusingNetwork::logits;
  Tensor logits(const Batch& batch, const std::vector<poise::Subset>& subsets) override {
    std::vector<Tensor> rows;
    for (const auto subset : subsets) {
      rows.push_back(z[static_cast<std::int64_t>(subset.bits) - 1].index_select(0, batch.ids));
    }
    return at::stack(rows);
  }

  Tensor z;

 private:
  int modalities_;
};

/// Shows the train split in batches of four.
class TrainSplit : public RecordingTrainer {
 public:
  TrainSplit(poise::Network& network, poise::TaskKind kind) : RecordingTrainer(network), objective_(kind) {}

  const poise::Objective& objective() override { return objective_; }
  std::int64_t samples(Split split) const override {
    if (split != Split::train) throw std::logic_error("another split");
    return targets.size(0);
  }
  void for_each_batch(Split split, const Tensor& ids, const std::function<bool(const Batch&)>& see) override {
    visits += 1;
    asked = ids;
    Tensor rows = at::arange(samples(split), at::kLong);
    if (ids.defined()) rows = shown_instead.defined() ? shown_instead : ids;
    for (const Tensor& part : rows.split(4)) {
      Batch batch;
      batch.ids = part;
      batch.targets = targets.index_select(0, part);
      if (!see(batch)) return;
    }
  }

  Tensor targets;
  Tensor shown_instead;  ///< samples that take the place of those asked for
  Tensor asked;
  int visits = 0;

 private:
  poise::reference::Objective objective_;
};

/// A network whose predictions are right where `correct` of a case says so. Of several labels the first is always right.
struct Scene {
  explicit Scene(const nlohmann::json& one_case, poise::TaskKind kind = poise::TaskKind::classification)
      : k(one_case.at("k").get<int>()), network(k), trainer(network, kind) {
    torch::manual_seed(4);
    correct = tensor_of(one_case.at("correct"));
    n = correct.size(1);
    const Tensor sign = (2 * correct - 1).unsqueeze(2);  // [S, N, 1]
    if (kind == poise::TaskKind::classification) {
      trainer.targets = at::arange(n, at::kLong).remainder(2);
      network.z = sign * at::one_hot(trainer.targets, 2);
    } else {
      trainer.targets = at::ones({n, 2}, at::kDouble);
      network.z = at::cat({at::ones_like(sign), sign}, 2);
    }
    trainer.current_epoch = 5;
  }

  std::optional<poise::Plan> plan(const std::string& options) {
    return make<poise::Modulation>(options)->plan(trainer);
  }

  int k;
  FixedPredictions network;
  TrainSplit trainer;
  Tensor correct;
  std::int64_t n = 0;
};

nlohmann::json oracle_of(const std::string& part) { return oracle("valuation").at(part); }

using Rows = std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t>;

/// How often each sample comes with each subset of modalities.
Rows rows_of(const poise::Plan& plan) {
  EXPECT_EQ(plan.ids.size(0), plan.present.size(0));
  EXPECT_FALSE(plan.weights.defined());
  Rows rows;
  for (std::int64_t i = 0; i < plan.ids.size(0); ++i) {
    rows[{plan.ids[i].item<std::int64_t>(), plan.present[i].item<std::int64_t>()}] += 1;
  }
  return rows;
}

Rows stored_rows(const nlohmann::json& stored) {
  Rows rows;
  for (const auto& row : stored) {
    rows[{row.at(0).get<std::int64_t>(), row.at(1).get<std::int64_t>()}] = row.at(2).get<std::int64_t>();
  }
  return rows;
}

TEST(Valuation, ShowsSamplesAgainAsTheOracleSays) {
  const auto cases = oracle_of("sample_level");
  ASSERT_EQ(cases.size(), 3U);
  for (const auto& [name, one_case] : cases.items()) {
    for (const auto kind : {poise::TaskKind::classification, poise::TaskKind::multi_label}) {
      Scene scene(one_case, kind);
      const auto plan = scene.plan("");
      ASSERT_TRUE(plan.has_value());
      const Rows rows = rows_of(*plan);
      EXPECT_EQ(rows, stored_rows(one_case.at("plan"))) << name;
      EXPECT_NE(rows, stored_rows(one_case.at("mistake_plan_others"))) << name;
      const Tensor phi = tensor_of(one_case.at("phi"));
      EXPECT_TRUE(at::allclose(scene.trainer.recorded.at("contribution"), phi.mean(1), 1e-12, 1e-12)) << name;
      EXPECT_EQ(scene.trainer.recorded.at("added").item<std::int64_t>(), plan->ids.size(0) - scene.n);
      EXPECT_FALSE(scene.trainer.asked.defined()) << "all samples are valued";
    }
  }
}

/// [k, N]: how often each sample comes with each modality alone.
Tensor copies_of(const poise::Plan& plan, int k, std::int64_t n) {
  const Tensor copies = at::zeros({k, n}, at::kDouble);
  for (int m = 0; m < k; ++m) {
    const Tensor alone = plan.ids.masked_select(plan.present.eq(std::int64_t{1} << m));
    copies[m].add_(at::bincount(alone, {}, n));
  }
  return copies;
}

TEST(Valuation, IsFarFromKnownMistakes) {
  const auto cases = oracle_of("sample_level");
  for (const auto& [name, one_case] : cases.items()) {
    Scene scene(one_case);
    const auto plan = scene.plan("");
    ASSERT_TRUE(plan.has_value());
    const Tensor copies = copies_of(*plan, scene.k, scene.n);
    EXPECT_TRUE(at::equal(copies, tensor_of(one_case.at("copies")))) << name;
    EXPECT_FALSE(at::equal(copies, tensor_of(one_case.at("mistake_copies_unweighted")))) << name;
    if (name == "four") {
      EXPECT_FALSE(at::equal(copies, tensor_of(one_case.at("copies_below_one"))));
    }
    if (name == "two") {
      // What the first batch's predictions, used for every batch, would give.
      ASSERT_EQ(one_case.at("batch").get<int>(), 4);
      const Tensor first = copies.narrow(1, 0, 4);
      EXPECT_FALSE(at::equal(copies, first.repeat({1, 2})));
      const Tensor cached = tensor_of(one_case.at("mistake_phi_cached")).mean(1);
      EXPECT_GT(difference(scene.trainer.recorded.at("contribution"), cached), 0.1);
    }
  }
}

TEST(Valuation, ShowsTheWeakerModalityAgainAsTheOracleSays) {
  const auto cases = oracle_of("modality_level");
  ASSERT_EQ(cases.size(), 6U);
  for (const auto& [name, one_case] : cases.items()) {
    for (const auto& draw : one_case.at("draws")) {
      Scene scene(one_case);
      scene.trainer.shown_instead = tensor_of(one_case.at("chosen")).to(at::kLong);
      const auto plan = scene.plan("level = \"modality\"\nfunction = " + draw.at("function").dump() +
                                   "\nalpha = " + draw.at("alpha").dump());
      ASSERT_TRUE(plan.has_value());
      const Tensor& asked = scene.trainer.asked;
      EXPECT_EQ(asked.numel(), scene.trainer.shown_instead.numel()) << name << ": a fifth of the samples";
      EXPECT_TRUE(asked.ge(0).logical_and(asked.lt(scene.n)).all().item<bool>());
      EXPECT_LT(difference(scene.trainer.recorded.at("contribution"), tensor_of(one_case.at("mean_phi"))),
                1e-12);

      const Tensor whole = plan->present.eq((std::int64_t{1} << scene.k) - 1);
      EXPECT_TRUE(
          at::equal(std::get<0>(plan->ids.masked_select(whole).sort()), at::arange(scene.n, at::kLong)));
      const Tensor added = plan->ids.masked_select(whole.logical_not());
      EXPECT_EQ(added.numel(), draw.at("number").get<std::int64_t>()) << name << draw;
      for (const std::string mistake : {"mistake_number_doubled", "mistake_number_all"}) {
        if (draw.contains(mistake)) {
          EXPECT_NE(added.numel(), draw.at(mistake).get<std::int64_t>());
        }
      }
      if (added.numel() == 0) continue;
      EXPECT_TRUE(added.ge(0).logical_and(added.lt(scene.n)).all().item<bool>());
      const Tensor present = plan->present.masked_select(whole.logical_not());
      EXPECT_TRUE(present.eq(one_case.at("present").get<std::int64_t>()).all().item<bool>()) << name;
      EXPECT_FALSE(present.eq(one_case.at("mistake_present").get<std::int64_t>()).any().item<bool>()) << name;
    }
  }
}

TEST(Valuation, DrawsSamplesAndOrderFromTheDefaultGenerator) {
  const auto one_case = oracle_of("modality_level").at("first_stronger");
  for (const std::string options : {"level = \"sample\"", "level = \"modality\""}) {
    const auto drawn = [&](std::uint64_t seed) {
      Scene scene(one_case);
      torch::manual_seed(seed);
      return scene.plan(options)->ids;
    };
    EXPECT_TRUE(at::equal(drawn(1), drawn(1)));
    EXPECT_FALSE(at::equal(drawn(1), drawn(2)));
    const Tensor ids = drawn(1).slice(0, 0, 31);
    EXPECT_FALSE(at::equal(ids, std::get<0>(ids.sort()))) << "the samples come in random order";
  }
}

TEST(Valuation, ValuesBeforeTheOraclesEpochs) {
  const auto schedule = oracle_of("schedule");
  Scene scene(oracle_of("sample_level").at("two"));
  const auto plugin = make<poise::Modulation>("warmup = " + schedule.at("warmup").dump());
  EXPECT_EQ(schedule.at("warmup").get<int>(), 5) << "the default";
  std::vector<int> valued;
  for (int epoch = 0; epoch < schedule.at("epochs").get<int>(); ++epoch) {
    scene.trainer.current_epoch = epoch;
    scene.trainer.visits = 0;
    const bool is_planned = plugin->plan(scene.trainer).has_value();
    EXPECT_EQ(is_planned, make<poise::Modulation>()->plan(scene.trainer).has_value());
    EXPECT_EQ(scene.trainer.visits, is_planned ? 2 : 0) << "one pass of each of the two";
    if (is_planned) valued.push_back(epoch);
  }
  EXPECT_EQ(valued, schedule.at("new_list_in").get<std::vector<int>>());
}

TEST(Valuation, IsJointTrainingWithoutStrength) {
  Scene scene(oracle_of("modality_level").at("first_stronger"));
  const auto options = make<poise::Modulation>()->neutral_options();
  ASSERT_TRUE(options.has_value());
  EXPECT_FALSE(scene.plan(*options).has_value());
  EXPECT_EQ(scene.trainer.visits, 0);
}

TEST(Valuation, RefusesWhatItCannotUse) {
  expect_refused<poise::Modulation>("level = \"batch\"", "modality");
  expect_refused<poise::Modulation>("warmup = -1", "warmup is -1");
  expect_refused<poise::Modulation>("level = \"modality\"\nfunction = \"cube\"", "square");
  expect_refused<poise::Modulation>("alpha = 0.5", "alpha does nothing at the level of samples");
  expect_refused<poise::Modulation>("function = \"tanh\"", "function does nothing at the level of samples");
  EXPECT_EQ(make<poise::Modulation>()->requirements(2).min_modalities, 2);
}

}  // namespace

// Its epochs are two steps long.
POISE_CONFORMANCE("warmup = 1");
