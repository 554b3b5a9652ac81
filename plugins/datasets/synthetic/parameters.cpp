#include "parameters.h"

#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace synthetic {
namespace {

constexpr std::int64_t most_outputs = 8;  // 256 classes

Form form_of(const std::string& name) {
  if (name == "sequence") return Form::sequence;
  return name == "image" ? Form::image : Form::vector;
}

poise::TaskKind task_of(const std::string& name) {
  if (name == "multi_label") return poise::TaskKind::multi_label;
  return name == "regression" ? poise::TaskKind::regression : poise::TaskKind::classification;
}

void check_one_per_modality(const poise::Config& config, const std::string& key, std::size_t entries,
                            std::size_t modalities) {
  if (entries == modalities) return;
  config.fail(key, key + " has " + std::to_string(entries) + " entries, but count is " +
                       std::to_string(modalities) + ": give one entry per modality.");
}

/// An option that does nothing would be a surprise.
void check_used(const poise::Config& config, const std::string& form, const std::string& key, bool is_used) {
  if (is_used || !config.has(key)) return;
  config.fail(key, key + " has no effect where form is \"" + form + "\": leave it out.");
}

void read_form(poise::Config& config, Parameters& p) {
  const auto form =
      config.choice("form", "vector", {"vector", "sequence", "image"}, "what a sample of each modality is");
  p.form = form_of(form);
  p.dimensions = config.integer("dimensions", 32, {.min = 1, .max = 4096},
                                "length of a vector, or of a step of a sequence");
  p.side = config.integer("side", 16, {.min = 4, .max = 128}, "height and width of an image");
  p.steps = config.integer("steps", 12, {.min = 1, .max = 1024}, "steps of the longest sequence");
  p.min_steps = config.integer("min_steps", 1, {.min = 1, .max = 1024}, "steps of the shortest sequence");
  check_used(config, form, "dimensions", p.form != Form::image);
  check_used(config, form, "side", p.form == Form::image);
  check_used(config, form, "steps", p.form == Form::sequence);
  check_used(config, form, "min_steps", p.form == Form::sequence);
  if (p.form == Form::sequence && p.min_steps > p.steps) {
    config.fail("min_steps", "min_steps is " + std::to_string(p.min_steps) + ", but steps is " +
                                 std::to_string(p.steps) + ": it must not be more.");
  }
}

void read_latents(poise::Config& config, Parameters& p) {
  const auto k = static_cast<std::size_t>(p.modalities);
  const poise::Range range{.min = 0, .max = most_outputs};
  p.unique = config.integers("unique", std::vector<std::int64_t>(k, 1), range,
                             "per modality, bits of the label that only it shows");
  p.redundant = config.integer("redundant", 1, range, "bits of the label that every modality shows");
  p.combined = config.integer("combined", 0, range,
                              "bits of the label that only all modalities together show (an exclusive or)");
  check_one_per_modality(config, "unique", p.unique.size(), k);
  if (p.outputs() < 1 || p.outputs() > most_outputs) {
    config.fail("unique", "unique, redundant and combined make " + std::to_string(p.outputs()) +
                              " bits in all, but there must be 1 to " + std::to_string(most_outputs) + ".");
  }
  for (int m = 0; m < p.modalities; ++m) {
    const auto shown = static_cast<std::int64_t>(p.shown(m).size());
    if (p.form != Form::image && shown > p.dimensions) {
      config.fail("dimensions", "m" + std::to_string(m) + " shows " + std::to_string(shown) +
                                    " bits, each in a direction of its own, but dimensions is " +
                                    std::to_string(p.dimensions) + ".");
    }
  }
  const auto decibels = config.numbers("snr", std::vector<double>(k, 0.0), {.min = -40, .max = 40},
                                       "per modality, signal-to-noise ratio in dB of each bit that it shows");
  check_one_per_modality(config, "snr", decibels.size(), k);
  for (const double value : decibels) p.amplitude.push_back(std::pow(10.0, value / 20));
}

}  // namespace

std::int64_t Parameters::simple_outputs() const {
  return std::accumulate(unique.begin(), unique.end(), redundant);
}

std::vector<std::int64_t> Parameters::shown(int modality) const {
  std::vector<std::int64_t> columns;
  std::int64_t column = 0;
  for (int m = 0; m < modalities; ++m) {
    for (std::int64_t i = 0; i < unique[static_cast<std::size_t>(m)]; ++i, ++column) {
      if (m == modality) columns.push_back(column);
    }
  }
  for (std::int64_t i = 0; i < redundant; ++i) columns.push_back(column++);
  for (std::int64_t i = 0; i < combined; ++i) columns.push_back(column + i * modalities + modality);
  return columns;
}

Parameters read_parameters(poise::Config& config) {
  Parameters p;
  p.modalities = static_cast<int>(
      config.integer("count", 2, {.min = 2, .max = 6}, "number of modalities, which are named m0, m1, ..."));
  p.task = task_of(config.choice("task", "classification", {"classification", "multi_label", "regression"},
                                 "what the bits are: a class, labels, or (as normal numbers) targets"));
  read_form(config, p);
  read_latents(config, p);
  p.label_noise =
      config.number("label_noise", 0.0, {.min = 0, .max = 0.5},
                    "probability of a wrong class or label; regression: share of noise in a target");
  const char* const meaning = "samples of the split";
  p.sizes = {config.integer("train", 2000, {.min = 2, .max = 1000000}, meaning),
             config.integer("validation", 500, {.min = 1, .max = 1000000}, meaning),
             config.integer("test", 1000, {.min = 1, .max = 1000000}, meaning)};
  // Only 32 bits of a generator's seed count, of which six tell its uses apart: see samples.cpp.
  p.seed = config.integer("seed", 0, {.min = 0, .max = 67108863}, "decides every sample");
  return p;
}

}  // namespace synthetic
