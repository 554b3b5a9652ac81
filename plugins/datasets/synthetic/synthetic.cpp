// Made samples of which the best possible score is known, to judge results by.
//
// The label is made of independent latents s, which are fair bits (1 or -1 for 0 and 1), or standard normal
// numbers for a regression:
//   unique     only modality m shows s
//   redundant  every modality shows s
//   combined   each modality shows a latent of its own, and the output is their product: of bits the
//              exclusive or, of which fewer than all modalities tell nothing
// Modality m shows each of its latents in a direction d of its own, all of length 1 and orthogonal:
//
//   x_m = sum_s a_m s d_(m,s) + n,  n ~ N(0, I),  a_m^2 = 10^(snr_m / 10)
//
// (in a sequence of L steps each step has the signal divided by sqrt(L)). A classification's class has the
// bits as its binary digits, and with probability e it is one of the others, all equally likely; labels are
// flipped with probability e; a regression's targets are sqrt(1 - e) t + sqrt(e) noise, standardised on the
// training split.
//
// The best scores in closed form are in best.cpp.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <poise/ceiling.h>
#include <poise/dataset.h>
#include <poise/plugin.h>

#include "best.h"
#include "parameters.h"
#include "samples.h"

namespace {

using poise::Split;
using poise::TaskKind;

class Synthetic : public poise::Dataset, public poise::Ceiling {
 public:
  explicit Synthetic(poise::Config& config) : p_(synthetic::read_parameters(config)) {}

  [[nodiscard]] std::vector<poise::Modality> modalities() const override {
    std::vector<poise::Modality> all;
    for (int m = 0; m < p_.modalities; ++m) all.push_back(modality("m" + std::to_string(m)));
    return all;
  }

  [[nodiscard]] poise::Task task() const override {
    if (p_.task == TaskKind::classification) return {p_.task, p_.classes(), {}};
    return {p_.task, p_.outputs(), labels()};
  }

  [[nodiscard]] std::vector<std::filesystem::path> files() const override { return {}; }

  void build(const poise::DatasetSpec& spec) override {
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const auto latents = synthetic::latents(p_, split);
      Part part;
      part.targets = synthetic::targets(p_, latents, split);
      for (const int m : spec.modalities) {
        part.inputs.push_back(synthetic::input(p_, latents, m, split));
      }
      parts_[static_cast<std::size_t>(split)] = std::move(part);
    }
    if (p_.task == TaskKind::regression) standardise();
  }

  [[nodiscard]] std::int64_t size(Split split) const override {
    return p_.sizes[static_cast<std::size_t>(split)];
  }

  [[nodiscard]] poise::Batch fetch(Split split, const torch::Tensor& ids,
                                   std::uint64_t /*seed*/) const override {
    const Part& part = parts_[static_cast<std::size_t>(split)];
    poise::Batch batch;
    batch.ids = ids;
    batch.targets = part.targets.index_select(0, ids);
    for (const auto& input : part.inputs) {
      batch.inputs.push_back(input.values.index_select(0, ids));
      batch.lengths.push_back(input.lengths.defined() ? input.lengths.index_select(0, ids) : torch::Tensor());
    }
    return batch;
  }

  [[nodiscard]] double best(poise::Subset modalities) const override {
    return synthetic::best_score(p_, modalities);
  }

 private:
  struct Part {
    torch::Tensor targets;
    std::vector<synthetic::Input> inputs;  ///< in the order of fetch()
  };

  [[nodiscard]] poise::Modality modality(const std::string& name) const {
    switch (p_.form) {
      case synthetic::Form::vector: return {name, {p_.dimensions}};
      case synthetic::Form::sequence: return {name, {p_.steps, p_.dimensions}, true};
      case synthetic::Form::image: return {name, {1, p_.side, p_.side}};
    }
    return {};
  }

  /// Who shows an output: "m0 1", "all 1", "combined 1".
  [[nodiscard]] std::vector<std::string> labels() const {
    std::vector<std::string> names;
    const auto add = [&](const std::string& who, std::int64_t count) {
      for (std::int64_t i = 1; i <= count; ++i) names.push_back(who + " " + std::to_string(i));
    };
    for (std::size_t m = 0; m < p_.unique.size(); ++m) add("m" + std::to_string(m), p_.unique[m]);
    add("all", p_.redundant);
    add("combined", p_.combined);
    return names;
  }

  /// By the mean and deviation of the training split.
  void standardise() {
    const auto mean = parts_[0].targets.mean(0);
    const auto deviation = (parts_[0].targets - mean).square().mean(0).sqrt();
    for (auto& part : parts_) part.targets.sub_(mean).div_(deviation);
  }

  synthetic::Parameters p_;
  std::array<Part, 3> parts_;
};

}  // namespace

POISE_DATASET(Synthetic, "synthetic", "made samples of which the best possible score is known");
