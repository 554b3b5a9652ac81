// The host's network, which shares work between subsets of modalities, against the conformance suite's, which runs every
// subset by itself: logits of all subsets, gradients and buffers, on the real plugins - every fusion, tokens and padding,
// fusions between the stages of the encoders.
#include <map>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "plugins/catalog.h"
#include "plugins/loader.h"
#include "poise/reference_network.h"
#include "poise/testing.h"
#include "training/network.h"

namespace {

using poise::Batch;
using poise::Subset;
using torch::Tensor;

struct Case {
  std::string name;
  bool is_sequence;
  std::vector<std::pair<std::string, std::string>> encoders;  ///< plugin and options, one a modality
  std::string fusion;
  std::string options;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }  // NOLINT: GoogleTest's name

const std::string small = "width = 8\nheads = 2\nlayers = 1\nfeed_forward = 16\n";

const std::vector<Case> cases = {
    {"sum", false, {{"lenet", ""}, {"lenet", ""}, {"mlp", ""}}, "sum", ""},
    {"film", false, {{"lenet", ""}, {"mlp", ""}}, "film", ""},
    {"gated", false, {{"lenet", ""}, {"mlp", ""}}, "gated", "hidden = 6"},
    {"maxout", false, {{"resnet18", ""}, {"lenet", ""}}, "maxout", "hidden = 8\nfeatures = 6"},
    {"mmtm", false, {{"lenet", ""}, {"lenet", ""}}, "mmtm", ""},
    {"mmtm_with_batch_norm", false, {{"resnet18", ""}, {"lenet", ""}}, "mmtm", ""},
    {"mean_of_a_sequence", true, {{"transformer", small}, {"identity", ""}}, "concat", ""},
    {"mean_of_tokens",
     true,
     {{"transformer", small + "readout = 'tokens'"}, {"identity", "tokens = true"}},
     "concat",
     ""},
    {"attention",
     true,
     {{"transformer", small + "readout = 'tokens'"}, {"identity", "tokens = true"}, {"transformer", small}},
     "attention",
     "width = 8\nheads = 2\ndropout = 0.2"},
};

template <class Interface>
poise::Loaded<Interface> plugin(const std::string& name, const std::string& options) {
  static const poise::Catalog catalog(poise::search_folders());
  auto config = poise::Config::parse(options);
  return poise::load<Interface>(catalog.find(std::string(poise::kind_of<Interface>()), name), config);
}

std::vector<poise::Modality> modalities(const Case& one) {
  std::vector<poise::Modality> result;
  for (std::size_t m = 0; m < one.encoders.size(); ++m) {
    const std::vector<std::int64_t> shape =
        one.is_sequence ? std::vector<std::int64_t>{5, 6} : std::vector<std::int64_t>{1, 28, 28};
    result.push_back({.name = "m" + std::to_string(m), .shape = shape, .is_sequence = one.is_sequence});
  }
  return result;
}

Batch samples(const Case& one) {
  constexpr std::int64_t rows = 6;
  Batch batch;
  batch.targets = at::randint(3, {rows}, at::kLong);
  for (const auto& modality : modalities(one)) {
    auto sizes = modality.shape;
    sizes.insert(sizes.begin(), rows);
    batch.inputs.push_back(at::randn(sizes, at::kDouble));
    batch.lengths.push_back(one.is_sequence ? at::randint(1, 6, {rows}, at::kLong) : Tensor());
  }
  return batch;
}

/// One network of each implementation with the same weights, in float64.
struct Pair {
  explicit Pair(const Case& one) {
    const poise::Task task{.outputs = 3, .labels = {}};
    std::vector<poise::Loaded<poise::Encoder>> encoders;
    std::vector<std::shared_ptr<poise::Encoder>> others;
    for (const auto& [name, options] : one.encoders) {
      encoders.push_back(plugin<poise::Encoder>(name, options));
      others.push_back(plugin<poise::Encoder>(name, options).object);
    }
    const auto fusion = plugin<poise::Fusion>(one.fusion, one.options);
    host = std::make_unique<poise::FusedNetwork>(modalities(one), encoders, fusion, task);
    reference = std::make_unique<poise::reference::Network>(
        modalities(one), others, plugin<poise::Fusion>(one.fusion, one.options).object, task);
    for (const auto& encoder : encoders) encoder.object->to(at::kDouble);
    fusion.object->to(at::kDouble);
    reference->convert(at::kDouble);
    const torch::NoGradGuard no_gradients;
    std::map<std::string, Tensor> weights;
    for (const auto& [name, tensor] : reference->named_tensors()) weights[name] = tensor;
    for (auto& [name, tensor] : host->named_tensors()) tensor.copy_(weights.at(name));
  }

  std::unique_ptr<poise::FusedNetwork> host;
  std::unique_ptr<poise::reference::Network> reference;
};

/// Logits of all subsets, differentiated with weights of every entry; the dropout masks are drawn from one seed.
template <class Network>
Tensor trained(Network& network, const Batch& batch, const Tensor& weights) {
  std::vector<Subset> subsets;
  for (std::uint32_t bits = 1; bits <= Subset::all(network.modalities()).bits; ++bits)
    subsets.push_back({bits});
  torch::manual_seed(7);
  network.begin_step();
  auto logits = network.logits(batch, subsets);
  (logits * weights.slice(0, 0, logits.size(0))).sum().backward();
  network.forget();
  return logits.detach();
}

class Networks : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, Networks, ::testing::ValuesIn(cases),
                         [](const auto& parameter) { return parameter.param.name; });

TEST_P(Networks, SharedWorkEqualsFullPassesOfEverySubset) {
  torch::manual_seed(3);
  const Pair pair(GetParam());
  const Batch batch = samples(GetParam());
  const auto weights = at::randn({8, batch.size(), 3}, at::kDouble);
  const auto actual = trained(*pair.host, batch, weights);
  const auto expected = trained(*pair.reference, batch, weights);
  EXPECT_LT(poise::testing::difference(actual, expected), 1e-12);
  const auto ours = pair.host->named_tensors();
  const auto theirs = pair.reference->named_tensors();
  ASSERT_EQ(ours.size(), theirs.size());
  double largest = 0;
  for (const auto& [name, tensor] : theirs) {
    if (tensor.grad().defined())
      largest = std::max(largest, tensor.grad().abs().max().template item<double>());
  }
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const auto& [name, tensor] = ours[i];
    ASSERT_EQ(name, theirs[i].first);
    if (!tensor.requires_grad()) {
      // The host lays images out channels-last, so that a BatchNorm sums in another order.
      EXPECT_TRUE(at::allclose(tensor, theirs[i].second, 1e-12, 1e-14)) << name;
      continue;
    }
    ASSERT_TRUE(tensor.grad().defined()) << name;
    // A bias before a BatchNorm has a gradient of 0 but for rounding: the scale is that of the whole network.
    EXPECT_LT((tensor.grad() - theirs[i].second.grad()).abs().max().item<double>(), 1e-11 * largest) << name;
  }
}

TEST_P(Networks, AnEvaluationEqualsFullPassesOfEverySubset) {
  torch::manual_seed(4);
  const Pair pair(GetParam());
  const Batch batch = samples(GetParam());
  const torch::NoGradGuard no_gradients;
  pair.host->begin_evaluation();
  pair.reference->begin_evaluation();
  std::vector<Subset> subsets{Subset::all(pair.host->modalities())};
  for (int m = 0; m < pair.host->modalities(); ++m) subsets.push_back(Subset::only(m));
  EXPECT_LT(
      poise::testing::difference(pair.host->logits(batch, subsets), pair.reference->logits(batch, subsets)),
      1e-12);
  for (int m = 0; m < pair.host->modalities(); ++m) {
    EXPECT_LT(poise::testing::difference(pair.host->encode(batch, m), pair.reference->encode(batch, m)),
              1e-12);
  }
}

/// The fusion of kept features in evaluation mode, where a second pass draws and counts nothing.
template <class Network>
Tensor fused(Network& network, const Batch& batch, const Tensor& keep) {
  return network.fuse(batch, network.features(batch), keep).logits;
}

TEST_P(Networks, KeepMultipliesTheFeaturesOfEverySample) {
  torch::manual_seed(5);
  const Pair pair(GetParam());
  const Batch batch = samples(GetParam());
  const torch::NoGradGuard no_gradients;
  pair.host->begin_evaluation();
  pair.reference->begin_evaluation();
  const auto keep = at::rand({batch.size(), pair.host->modalities()}, at::kDouble);
  const auto kept = fused(*pair.host, batch, keep);
  EXPECT_LT(poise::testing::difference(kept, fused(*pair.reference, batch, keep)), 1e-12);
  EXPECT_GT(poise::testing::difference(kept, pair.host->logits(batch)), 1e-6);

  const auto all = fused(*pair.host, batch, at::ones_like(keep));
  EXPECT_TRUE(poise::testing::same_bits(all, pair.host->logits(batch)));
  EXPECT_TRUE(poise::testing::same_bits(all, fused(*pair.host, batch, {})));

  auto without_first = pair.host->features(batch);
  without_first[0] = at::zeros_like(without_first[0]);
  auto none_of_first = at::ones_like(keep);
  none_of_first.select(1, 0).zero_();
  EXPECT_TRUE(
      at::equal(fused(*pair.host, batch, none_of_first), pair.host->fuse(batch, without_first, {}).logits));
}

}  // namespace
