// OGM-GE on a network that is only shares and parameters with gradients, against values stored by
// tests/oracles/ogm_ge.py.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "poise/conformance_test.h"
#include "poise/modulation.h"
#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "poise/testing_trainer.h"

namespace {

using namespace poise::testing;
using torch::Tensor;

class FixedNetwork : public RefusingNetwork {
 public:
  int modalities() const override { return 2; }
  std::int64_t outputs() const override { return shares[0].size(1); }
  const std::string& modality_name(int m) const override { return names_[static_cast<std::size_t>(m)]; }
  std::int64_t width(int /*m*/) const override { return 1; }
  bool additive() const override { return true; }
  Tensor share(const poise::Batch& /*batch*/, int m) override { return shares[static_cast<std::size_t>(m)]; }
  using RefusingNetwork::parameters;
  std::vector<Tensor> parameters(poise::Role role, int m) const override {
    return role == poise::Role::encoder ? encoder[static_cast<std::size_t>(m)] : std::vector<Tensor>();
  }

  std::vector<Tensor> shares;
  std::vector<std::vector<Tensor>> encoder{2};

 private:
  std::vector<std::string> names_ = {"audio", "image"};
};

/// A parameter with `gradient`.
Tensor with_gradient(const Tensor& gradient) {
  auto parameter = torch::zeros_like(gradient).requires_grad_();
  parameter.mutable_grad() = gradient.clone();
  return parameter;
}

/// A network whose shares are those of a case of the oracle, and its trainer; encoders have one convolution, one
/// matrix, one bias.
struct Bench {
  explicit Bench(const nlohmann::json& one_case) {
    torch::manual_seed(11);
    batch.targets = tensor_of(one_case["targets"]).to(torch::kInt64);
    for (std::size_t m = 0; m < 2; ++m) {
      // As the host's: part of a graph.
      network.shares.push_back(tensor_of(one_case["shares"][m]).requires_grad_() * 1);
      network.encoder[m] = {with_gradient(torch::randn({4, 3, 3, 3})), with_gradient(torch::randn({5, 6})),
                            with_gradient(torch::randn({5}))};
    }
  }

  const Tensor& gradient(std::size_t m, std::size_t i) { return network.encoder[m][i].grad(); }

  std::vector<Tensor> gradients() {
    std::vector<Tensor> all;
    for (std::size_t m = 0; m < 2; ++m) {
      for (std::size_t i = 0; i < 3; ++i) all.push_back(gradient(m, i).clone());
    }
    return all;
  }

  void run(const std::string& options) {
    const auto plugin = make<poise::Modulation>(options);
    plugin->begin(trainer);
    plugin->modulate(batch, trainer);
  }

  poise::Batch batch;
  FixedNetwork network;
  RecordingTrainer trainer{network};
};

TEST(OgmGe, HasTheOraclesCoefficients) {
  const auto cases = oracle("ogm_ge")["cases"];
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& [name, one_case] : cases.items()) {
    for (const auto& expected : one_case["kappas"]) {
      Bench bench(one_case);
      const auto before = bench.gradients();
      bench.run("enhancement = false\nalpha = " + expected["alpha"].dump());
      const auto kappa = tensor_of(expected["kappa"]);
      EXPECT_LT(difference(bench.trainer.recorded["rho"], tensor_of(one_case["rho"])), 1e-12) << name;
      EXPECT_LT(difference(bench.trainer.recorded["kappa"], kappa), 1e-12) << name;
      EXPECT_FALSE(bench.trainer.recorded["kappa"].requires_grad());
      for (std::size_t m = 0; m < 2; ++m) {
        const auto scaled = before[3 * m] * kappa[static_cast<std::int64_t>(m)];
        EXPECT_LT(difference(bench.gradient(m, 0), scaled), 1e-6) << name;
        EXPECT_TRUE(same_bits(bench.gradient(m, 1), before[3 * m + 1])) << name;
        EXPECT_TRUE(same_bits(bench.gradient(m, 2), before[3 * m + 2])) << name;
      }
    }
  }
}

/// Mean of every entry and deviation of all of them over many draws, against the oracle's.
TEST(OgmGe, AddsTheOraclesNoise) {
  const auto values = oracle("ogm_ge");
  constexpr int draws = 1000;
  for (const auto& expected : values["noise"]) {
    Bench bench(values["cases"]["first_stronger"]);
    // With alpha 0.8 this case has the oracle's two coefficients: 0.16 for the first modality, 1 for the second.
    const std::size_t m = expected["kappa"] == 1.0 ? 1 : 0;
    const auto g = tensor_of(expected["g"]);
    bench.network.encoder[m] = {with_gradient(g)};
    const auto plugin = make<poise::Modulation>("alpha = 0.8");
    plugin->begin(bench.trainer);
    std::vector<Tensor> rewritten;
    for (int i = 0; i < draws; ++i) {
      bench.network.encoder[m][0].mutable_grad() = g.clone();
      plugin->modulate(bench.batch, bench.trainer);
      rewritten.push_back(bench.gradient(m, 0));
    }
    const double std = expected["std"];
    const auto noise = torch::stack(rewritten) - tensor_of(expected["mean"]);
    // Five standard errors.
    EXPECT_LT(noise.mean(0).abs().max().item<double>(), 5 * std / std::sqrt(draws));
    const auto n = static_cast<double>(noise.numel());
    EXPECT_NEAR(noise.square().mean().sqrt().item<double>() / std, 1, 5 / std::sqrt(2 * n));
  }
}

TEST(OgmGe, DrawsIndependentNormalNoiseForEveryWeight) {
  Bench bench(oracle("ogm_ge")["cases"]["equal"]);
  const auto g = torch::randn({64, 32, 8, 8}) * 3 + 1;
  for (std::size_t m = 0; m < 2; ++m) bench.network.encoder[m] = {with_gradient(g), with_gradient(g)};
  bench.run("alpha = 0.5");
  const auto n = static_cast<double>(g.numel());
  std::vector<Tensor> noises;
  for (std::size_t m = 0; m < 2; ++m) {
    for (std::size_t i = 0; i < 2; ++i) {
      noises.push_back(((bench.gradient(m, i) - g) / g.std()).to(torch::kFloat64));
      const auto& noise = noises.back();
      const auto beyond = [&](double limit) {
        return (noise.abs() > limit).to(torch::kFloat64).mean().item<double>();
      };
      EXPECT_NEAR(noise.mean().item<double>(), 0, 5 / std::sqrt(n));
      EXPECT_NEAR(noise.std().item<double>(), 1, 5 / std::sqrt(2 * n));
      EXPECT_NEAR(beyond(1), 0.3173105, 5 * std::sqrt(0.3173 * 0.6827 / n));
      EXPECT_NEAR(beyond(2), 0.0455003, 5 * std::sqrt(0.0455 * 0.9545 / n));
      EXPECT_NEAR((noise * (g - 1) / 3).mean().item<double>(), 0, 5 / std::sqrt(n));
    }
  }
  for (std::size_t i = 0; i < noises.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NEAR((noises[i] * noises[j]).mean().item<double>(), 0, 5 / std::sqrt(n));
    }
  }
}

TEST(OgmGe, DrawsFromTheDefaultGeneratorWhateverTheLayout) {
  const auto run = [](std::uint64_t seed, torch::MemoryFormat layout) {
    Bench bench(oracle("ogm_ge")["cases"]["first_stronger"]);
    auto& gradient = bench.network.encoder[0][0].mutable_grad();
    gradient = gradient.contiguous(layout);
    torch::manual_seed(seed);
    bench.run("alpha = 0.5");
    return bench.gradient(0, 0).contiguous();
  };
  const auto once = run(1, torch::MemoryFormat::Contiguous);
  EXPECT_TRUE(same_bits(run(1, torch::MemoryFormat::Contiguous), once));
  EXPECT_LT(difference(run(1, torch::MemoryFormat::ChannelsLast), once), 1e-6);  // the sums of std(g) differ
  EXPECT_FALSE(same_bits(run(2, torch::MemoryFormat::Contiguous), once));
}

TEST(OgmGe, LeavesJointTrainingsGradientWithoutStrengthAndNoise) {
  Bench bench(oracle("ogm_ge")["cases"]["first_stronger"]);
  const auto before = bench.gradients();
  bench.run("alpha = 0.0\nenhancement = false\nparameters = \"all\"");
  const auto after = bench.gradients();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i])) << i;
}

TEST(OgmGe, ModulatesInsideItsWindowAlone) {
  for (const auto& [epoch, is_inside] : {std::pair{2, false}, {3, true}, {5, true}, {6, false}}) {
    Bench bench(oracle("ogm_ge")["cases"]["first_stronger"]);
    bench.trainer.current_epoch = epoch;
    const auto before = bench.gradients();
    bench.run("alpha = 0.5\nwindow = [3, 5]");
    EXPECT_EQ(!same_bits(bench.gradient(0, 0), before[0]), is_inside) << epoch;
    EXPECT_EQ(!same_bits(bench.gradient(1, 0), before[3]), is_inside) << epoch;
    EXPECT_EQ(bench.trainer.recorded.contains("kappa"), is_inside) << epoch;
  }
}

TEST(OgmGe, ModulatesAllThatHasMoreThanOneDimensionWhenAsked) {
  Bench bench(oracle("ogm_ge")["cases"]["first_stronger"]);
  const auto before = bench.gradients();
  bench.run("alpha = 0.5\nenhancement = false\nparameters = \"all\"");
  const auto kappa = bench.trainer.recorded["kappa"][0];
  EXPECT_LT(difference(bench.gradient(0, 0), before[0] * kappa), 1e-6);
  EXPECT_LT(difference(bench.gradient(0, 1), before[1] * kappa), 1e-6);
  EXPECT_TRUE(same_bits(bench.gradient(0, 2), before[2]));
}

TEST(OgmGe, PassesOverParametersWithoutGradientOrDeviation) {
  Bench bench(oracle("ogm_ge")["cases"]["first_stronger"]);
  auto& encoder = bench.network.encoder[0];
  encoder = {torch::zeros({2, 1, 3, 3}).requires_grad_(), with_gradient(torch::full({1, 1, 1, 1}, 2.0))};
  bench.run("alpha = 0.5");
  EXPECT_FALSE(encoder[0].grad().defined());
  EXPECT_LT(difference(encoder[1].grad(), 2 * bench.trainer.recorded["kappa"][0]), 1e-6);
}

std::string refused_encoder(const std::string& options, std::vector<Tensor> encoder) {
  Bench bench(oracle("ogm_ge")["cases"]["equal"]);
  bench.network.encoder[1] = std::move(encoder);
  return refusal([&] { bench.run(options); });
}

TEST(OgmGe, RefusesAnEncoderThatItWouldLeaveAlone) {
  const auto matrix = with_gradient(torch::randn({3, 3}));
  EXPECT_EQ(refused_encoder("alpha = 0.5", {matrix}),
            "ogm_ge modulates convolutions, and the encoder of 'image' has none: set modulation.parameters = "
            "\"all\", or choose another encoder");
  EXPECT_EQ(refused_encoder("alpha = 0.5\nparameters = \"all\"", {matrix}), "");
  EXPECT_EQ(
      refused_encoder("alpha = 0.5\nparameters = \"all\"", {with_gradient(torch::randn({3}))}),
      "ogm_ge modulates parameters of more than one dimension, and the encoder of 'image' has none: choose "
      "another encoder");
}

TEST(OgmGe, DeclaresWhatItNeeds) {
  const auto needs = make<poise::Modulation>("alpha = 0.5")->requirements(2);
  EXPECT_EQ(needs.min_modalities, 2);
  EXPECT_EQ(needs.max_modalities, 2);
  EXPECT_TRUE(needs.additive_fusion);
  EXPECT_EQ(needs.subsets_per_step, 1);
}

TEST(OgmGe, RefusesWhatItCannotUse) {
  expect_refused<poise::Modulation>("", "alpha");
  expect_refused<poise::Modulation>("alpha = -0.1", "alpha is -0.1");
  expect_refused<poise::Modulation>("alpha = 0.5\nwindow = [5, 3]", "window");
  expect_refused<poise::Modulation>("alpha = 0.5\nwindow = [5]", "window");
  expect_refused<poise::Modulation>("alpha = 0.5\nparameters = \"some\"", "convolutions");
  expect_refused<poise::Modulation>("alpha = 0.5\nenhance = false", "enhance");
}

}  // namespace

POISE_CONFORMANCE("alpha = 0.5");
