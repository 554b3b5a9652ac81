// AGM on small networks: the plugin with the host's shared work against (1) separate full passes with hooks on
// the responses, as the paper's code does it, (2) values stored by tests/oracles/agm_network.py, (3) joint
// training where every kappa is 1.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <torch/autograd.h>

#include "poise/testing.h"
#include "poise/testing_oracle.h"
#include "small_network.h"
#include "training/trainer.h"

namespace {

using poise::Batch;
using poise::Subset;
using poise::testing::tensor_of;
using torch::Tensor;

/// lr 0: gradients stay to be looked at, weights stay as they are.
const poise::RunRequest& frozen_weights() {
  static const poise::RunRequest request = [] {
    poise::RunRequest r{};
    r.train.epochs = 1;
    r.train.optimizer.name = "sgd";
    return r;
  }();
  return request;
}

Batch random_batch(const small::Shape& shape, std::int64_t rows) {
  Batch batch;
  batch.ids = at::arange(rows, at::kLong);
  batch.targets = at::randint(small::classes, {rows}, at::kLong);
  for (int m = 0; m < shape.modalities; ++m) {
    batch.inputs.push_back(at::randn({rows, small::inputs}, shape.dtype));
    batch.lengths.emplace_back();
  }
  return batch;
}

/// The published algorithm on its own copy of the network, naively: one full pass for each subset, responses as
/// the mean over all orders in which the modalities can join, a hook on each response.
class Naive {
 public:
  Naive(const small::Shape& shape, std::uint64_t seed, double alpha, double cap)
      : network_(small::make(shape, seed)), k_(shape.modalities), alpha_(alpha), cap_(cap) {
    sums_.assign(static_cast<std::size_t>(k_), 0);
  }

  void step(const Batch& batch) {
    for (auto& parameter : network_.fused->parameters()) parameter.mutable_grad() = Tensor();
    std::vector<Tensor> z(std::size_t{1} << k_);
    z[0] = at::zeros({batch.size(), small::classes}, batch.inputs[0].options());
    const auto full = z.size() - 1;
    z[full] = pass(batch, full, true);
    for (std::size_t s = 1; s < full; ++s) z[s] = pass(batch, s, false);

    std::vector<Tensor> phi(static_cast<std::size_t>(k_));
    std::vector<int> order(static_cast<std::size_t>(k_));
    std::iota(order.begin(), order.end(), 0);
    double orders = 0;
    do {
      std::size_t joined = 0;
      for (const int m : order) {
        const std::size_t next = joined | (std::size_t{1} << m);
        Tensor& response = phi[static_cast<std::size_t>(m)];
        const Tensor gain = z[next] - z[joined];
        response = response.defined() ? response + gain : gain;
        joined = next;
      }
      orders += 1;
    } while (std::next_permutation(order.begin(), order.end()));

    std::vector<double> strengths;
    for (auto& response : phi) {
      response = response / orders;
      const auto p = at::softmax(response.detach().to(at::kDouble), 1)
                         .gather(1, batch.targets.unsqueeze(1))
                         .clamp_min(1e-8);
      strengths.push_back(-p.log().mean().item<double>());
    }
    const auto ratios = [&](const std::vector<double>& l) {
      const double mean = std::accumulate(l.begin(), l.end(), 0.0) / k_;
      std::vector<double> r;
      for (const double value : l) r.push_back(std::exp(k_ / (k_ - 1.0) * (mean - value)));
      return r;
    };
    const auto r = ratios(strengths);
    std::vector<double> running;
    for (const double sum : sums_) running.push_back(steps_ == 0 ? 0 : sum / steps_);
    const auto tau = ratios(running);  // equal means give 1: the first step's value
    kappa.clear();
    Tensor total;
    for (std::size_t m = 0; m < phi.size(); ++m) {
      kappa.push_back(std::exp(alpha_ * std::min(tau[m] - r[m], cap_)));
      const double factor = kappa.back();
      phi[m].register_hook([factor](const Tensor& g) { return g * factor; });
      total = total.defined() ? total + phi[m] : phi[m];
      sums_[m] += strengths[m];
    }
    steps_ += 1;
    at::cross_entropy_loss(total, batch.targets).backward();
  }

  small::Network& network() { return network_; }
  std::vector<double> kappa;

 private:
  Tensor pass(const Batch& batch, std::size_t subset, bool train) {
    std::vector<Tensor> features;
    for (std::size_t m = 0; m < network_.encoders.size(); ++m) {
      network_.encoders[m]->train(train);
      const bool present = ((subset >> m) & 1U) != 0;
      features.push_back(
          network_.encoders[m]->forward(present ? batch.inputs[m] : at::zeros_like(batch.inputs[m]), {}));
    }
    network_.fusion->train(train);
    return network_.fusion->forward(features, {}).logits;
  }

  small::Network network_;
  int k_;
  double alpha_;
  double cap_;
  double steps_ = 0;
  std::vector<double> sums_;
};

struct Trained {
  small::Network network;
  std::unique_ptr<poise::HostTrainer> trainer;

  Trained(const small::Shape& shape, std::uint64_t seed, const std::string& options)
      : network(small::make(shape, seed)) {
    const poise::Loaded<poise::Modulation> agm{poise::testing::make<poise::Modulation>(options),
                                               {"agm", "0", "test"}};
    trainer = std::make_unique<poise::HostTrainer>(*network.fused, agm, frozen_weights(), nullptr);
    agm.object->begin(*trainer);
  }
};

void expect_same(const std::vector<std::pair<std::string, Tensor>>& actual,
                 const std::vector<std::pair<std::string, Tensor>>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto& [name, ours] = actual[i];
    const auto& theirs = expected[i].second;
    if (!theirs.requires_grad()) {  // a BatchNorm buffer
      EXPECT_TRUE(at::equal(ours, theirs)) << name;
      continue;
    }
    ASSERT_TRUE(ours.grad().defined()) << name;
    const auto scale = theirs.grad().abs().max().item<double>();
    EXPECT_LE((ours.grad() - theirs.grad()).abs().max().item<double>() / scale, tolerance) << name;
  }
}

struct Case {
  small::Shape shape;
  double tolerance;
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const auto& s = info.param.shape;
  return s.fusion + std::to_string(s.modalities) + (s.batch_norm ? "BatchNorm" : "") +
         (s.dropout ? "Dropout" : "") + (s.dtype == torch::kFloat64 ? "Float64" : "Float32");
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const int k : {2, 3}) {
    for (const std::string fusion : {"concat", "mlp"}) {
      for (const bool norm : {false, true}) {
        for (const bool dropout : {false, true}) {
          cases.push_back({{k, fusion, norm, dropout, torch::kFloat64, norm, true}, 1e-12});
          cases.push_back({{k, fusion, norm, dropout, torch::kFloat32, norm, true}, 1e-5});
        }
      }
    }
  }
  return cases;
}

class Gradients : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, Gradients, ::testing::ValuesIn(all_cases()), name_of);

TEST_P(Gradients, SharedWorkEqualsSeparatePasses) {
  const auto& [shape, tolerance] = GetParam();
  Trained ours(shape, 11, "alpha = 1.5\nclip = 0");
  Naive naive(shape, 11, 1.5, 10);
  for (int step = 0; step < 4; ++step) {
    torch::manual_seed(100 + step);
    const Batch batch = random_batch(shape, 6);
    // The training pass draws the dropout masks, so it must come first in both.
    torch::manual_seed(200 + step);
    ours.trainer->train_step(batch);
    torch::manual_seed(200 + step);
    naive.step(batch);
    expect_same(ours.network.fused->named_tensors(), naive.network().fused->named_tensors(), tolerance);
    ours.trainer->records().clear();
  }
}

TEST_P(Gradients, PassesAreCounted) {
  const auto& shape = GetParam().shape;
  Trained ours(shape, 3, "clip = 0");
  constexpr std::int64_t rows = 6;
  for (int step = 0; step < 2; ++step) ours.trainer->train_step(random_batch(shape, rows));
  const std::int64_t passes = ours.network.encoders[0]->modes_agree() ? 1 : 2;
  for (std::size_t m = 0; m < ours.network.encoders.size(); ++m) {
    EXPECT_EQ(ours.network.encoders[m]->calls, 2 * (passes + 1));
    EXPECT_EQ(ours.network.encoders[m]->rows, 2 * (passes * rows + 1));
    EXPECT_EQ(ours.network.fused->counts().encoder_batches[m], 2 * passes);
    EXPECT_EQ(ours.network.fused->counts().encoder_absent_rows[m], 2);
  }
  EXPECT_EQ(ours.network.fused->counts().fusion_batches, 2 * ((1 << shape.modalities) - 1));
}

TEST_P(Gradients, AlphaZeroIsJointTrainingBitForBit) {
  const auto& shape = GetParam().shape;
  Trained ours(shape, 5, "alpha = 0\nclip = 0");
  small::Network joint = small::make(shape, 5);
  torch::manual_seed(1);
  const Batch batch = random_batch(shape, 6);
  torch::manual_seed(2);
  ours.trainer->train_step(batch);
  torch::manual_seed(2);
  at::cross_entropy_loss(joint.fused->logits(batch), batch.targets).backward();
  const auto actual = ours.network.fused->named_tensors();
  const auto expected = joint.fused->named_tensors();
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!actual[i].second.requires_grad()) continue;
    EXPECT_TRUE(poise::testing::same_bits(actual[i].second.grad(), expected[i].second.grad()))
        << actual[i].first;
  }
}

TEST(Oracle, GradientsKappaAndBuffersOfSmallNetworks) {
  const auto oracle = poise::testing::oracle("agm_network");
  for (const auto& c : oracle.at("cases")) {
    const small::Shape shape{c.at("k"), c.at("fusion"), c.at("batch_norm"), false, torch::kFloat64};
    SCOPED_TRACE(shape.fusion + std::to_string(shape.modalities) + (shape.batch_norm ? " BatchNorm" : ""));
    small::Network network = small::make(shape, 1);
    {
      const torch::NoGradGuard no_gradients;
      for (auto& [name, tensor] : network.fused->named_tensors()) {
        const auto& values = c.at("parameters").contains(name) ? c.at("parameters") : c.at("buffers");
        tensor.copy_(tensor_of(values.at(name)));
      }
    }
    const poise::Loaded<poise::Modulation> agm{
        poise::testing::make<poise::Modulation>("alpha = 1.5\ncap = 10\nclip = 0"), {"agm", "0", "test"}};
    poise::HostTrainer trainer(*network.fused, agm, frozen_weights(), nullptr);
    agm.object->begin(trainer);
    for (const auto& step : c.at("steps")) {
      Batch batch;
      batch.targets = tensor_of(step.at("targets")).to(at::kLong);
      batch.inputs = tensor_of(step.at("inputs")).unbind(0);
      batch.lengths.resize(batch.inputs.size());
      trainer.train_step(batch);
      EXPECT_LE((at::tensor(trainer.records().mean("kappa"), at::kDouble) - tensor_of(step.at("kappa")))
                    .abs()
                    .max()
                    .item<double>(),
                1e-12);
      trainer.records().clear();
      for (const auto& [name, tensor] : network.fused->named_tensors()) {
        if (tensor.requires_grad()) {
          const auto expected = tensor_of(step.at("gradients").at(name));
          EXPECT_LE((tensor.grad() - expected).abs().max().item<double>(),
                    1e-12 * std::max(1.0, expected.abs().max().item<double>()))
              << name;
        } else {
          EXPECT_LE(
              (tensor.to(at::kDouble) - tensor_of(step.at("buffers").at(name))).abs().max().item<double>(),
              1e-12)
              << name;
        }
      }
    }
  }
}

}  // namespace
