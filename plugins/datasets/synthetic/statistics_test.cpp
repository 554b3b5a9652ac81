// What the samples' statistics must be: frequencies, noise, signal, each within five standard errors.
#include <cmath>

#include "samples.h"
#include "test_data.h"

namespace {

using poise::Split;
using torch::Tensor;

double number(const Tensor& tensor) { return tensor.item<double>(); }

/// Of a probability that was estimated from `count` samples, five standard errors.
double five_errors(double probability, std::int64_t count) {
  return 5 * std::sqrt(probability * (1 - probability) / static_cast<double>(count));
}

TEST(SyntheticStatistics, EveryClassIsAsLikely) {
  const std::int64_t count = 40000;
  for (const char* const noise : {"0.0", "0.4"}) {
    const auto dataset =
        built("combined = 1\ndimensions = 4\ntrain = 40000\nlabel_noise = " + std::string(noise));
    const auto shares =
        torch::bincount(all(*dataset, Split::train).targets, {}, 16).to(torch::kDouble) / count;
    ASSERT_EQ(shares.numel(), 16);
    EXPECT_LT(number((shares - 1.0 / 16).abs().max()), five_errors(1.0 / 16, count));
  }
}

TEST(SyntheticStatistics, LabelNoiseReplacesThatShareOfClassesByAnyOther) {
  const std::int64_t count = 40000;
  const std::string options = "dimensions = 3\nunique = [1, 1]\nredundant = 0\ntrain = 40000\n";
  const auto clean = all(*built(options), Split::train);
  const auto noisy = all(*built(options + "label_noise = 0.3"), Split::train);
  EXPECT_TRUE(torch::equal(clean.inputs[0], noisy.inputs[0]));
  const auto shift = (noisy.targets - clean.targets).remainder(4);
  const auto shares = torch::bincount(shift, {}, 4).to(torch::kDouble) / count;
  EXPECT_NEAR(number(shares[0]), 0.7, five_errors(0.7, count));
  for (int i = 1; i < 4; ++i) EXPECT_NEAR(number(shares[i]), 0.1, five_errors(0.1, count));
}

TEST(SyntheticStatistics, LabelNoiseFlipsThatShareOfEachLabel) {
  const std::int64_t count = 20000;
  const std::string options = "task = 'multi_label'\ndimensions = 4\ncombined = 1\ntrain = 20000\n";
  const auto clean = all(*built(options), Split::train).targets;
  const auto noisy = all(*built(options + "label_noise = 0.2"), Split::train).targets;
  EXPECT_TRUE(torch::equal(clean, clean.round()));
  const auto likely = clean.to(torch::kDouble).mean(0);
  const auto flipped = (clean != noisy).to(torch::kDouble).mean(0);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(number(likely[i]), 0.5, five_errors(0.5, count));
    EXPECT_NEAR(number(flipped[i]), 0.2, five_errors(0.2, count));
  }
}

TEST(SyntheticStatistics, RegressionTargetsAreStandardisedOnTheTrainingSplit) {
  const std::string options = "task = 'regression'\ncombined = 1\ndimensions = 4\n";
  const auto dataset = built(options + "train = 64\ntest = 30000");
  const auto train = all(*dataset, Split::train).targets.to(torch::kDouble);
  EXPECT_LT(number(train.mean(0).abs().max()), 1e-6);
  EXPECT_LT(number((train.square().mean(0) - 1).abs().max()), 1e-6);
  // The test split has the shift and the scale of the training split, not its own.
  const auto test = all(*dataset, Split::test).targets.to(torch::kDouble);
  EXPECT_GT(number(test.mean(0).abs().max()), 0.02);
}

TEST(SyntheticStatistics, LabelNoiseIsThatShareOfARegressionTargetsVariance) {
  const std::string options = "task = 'regression'\ncombined = 1\ndimensions = 4\ntrain = 40000\n";
  const auto clean = all(*built(options), Split::train).targets.to(torch::kDouble);
  const auto noisy = all(*built(options + "label_noise = 0.3"), Split::train).targets.to(torch::kDouble);
  // Both are standardised: the squared correlation is the share of the variance that is not noise.
  const auto kept = (clean * noisy).mean(0).square();
  EXPECT_LT(number((kept - 0.7).abs().max()), 0.02);
}

/// Of the latents that modality 0 shows, the amplitude with which each is found in its direction, and the
/// mean square of what is left, which is noise.
void expect_signal(const std::string& form, double decibels) {
  const std::int64_t count = 20000;
  const auto options = "task = 'multi_label'\nunique = [2, 1]\nform = '" + form +
                       "'\ntrain = 20000\nsnr = [" + std::to_string(decibels) + ", 10]\n" +
                       (form == "image" ? "side = 6" : "dimensions = 5") +
                       (form == "sequence" ? "\nsteps = 5\nmin_steps = 2" : "");
  const auto batch = all(*built(options), Split::train);
  const auto rows = synthetic::directions(parameters(options), 0).to(torch::kFloat);
  ASSERT_EQ(rows.size(0), 3);
  const auto unit = torch::eye(3);
  EXPECT_LT(number((rows.mm(rows.t()) - unit).abs().max()), 1e-5);
  const auto shown = 1 - 2 * batch.targets.index_select(1, torch::tensor({0, 1, 3}, torch::kLong));
  const double amplitude = std::sqrt(std::pow(10, decibels / 10));

  auto values = batch.inputs[0].flatten(1);
  auto coordinates = static_cast<double>(values.size(1));
  if (form == "sequence") {
    const auto lengths = batch.lengths[0].to(torch::kFloat);
    values = batch.inputs[0].sum(1) / lengths.sqrt().unsqueeze(1);
    coordinates = 5;
  }
  const auto along = values.mm(rows.t()) * shown;
  const auto noise = values - (shown * amplitude).mm(rows);
  const double error = 1 / std::sqrt(static_cast<double>(count));
  EXPECT_LT(number((along.mean(0) - amplitude).abs().max()), 5 * error) << form;
  EXPECT_NEAR(number(noise.square().mean()), 1, 5 * error * std::sqrt(2 / coordinates)) << form;
}

TEST(SyntheticStatistics, TheSignalHasTheRatioThatIsAskedFor) {
  for (const char* const form : {"vector", "sequence", "image"}) {
    expect_signal(form, 0);
    expect_signal(form, 7);
    expect_signal(form, -12);
  }
}

TEST(SyntheticStatistics, SequencesHaveAllLengthsAndZerosBehind) {
  const auto batch =
      all(*built("form = 'sequence'\nsteps = 6\nmin_steps = 3\ndimensions = 4\ntrain = 8000"), Split::train);
  const auto shares = torch::bincount(batch.lengths[0], {}, 7).to(torch::kDouble) / 8000;
  EXPECT_EQ(number(shares.slice(0, 0, 3).sum()), 0.0);
  for (int length = 3; length <= 6; ++length) {
    EXPECT_NEAR(number(shares[length]), 0.25, five_errors(0.25, 8000));
  }
  EXPECT_FALSE(torch::equal(batch.lengths[0], batch.lengths[1]));
  const auto is_step = torch::arange(6) < batch.lengths[0].unsqueeze(1);
  const auto is_zero = (batch.inputs[0] == 0).all(2);
  EXPECT_TRUE(torch::equal(is_zero, is_step.logical_not()));
}

TEST(SyntheticStatistics, AModalityMayShowNothing) {
  const auto batch =
      all(*built("unique = [1, 0]\nredundant = 0\ntrain = 20000\ndimensions = 4"), Split::train);
  EXPECT_NEAR(number(batch.inputs[1].square().mean()), 1, 5 * std::sqrt(2.0 / 80000));
}

}  // namespace
