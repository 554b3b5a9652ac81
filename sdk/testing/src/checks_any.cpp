// What must hold for every plugin: its options, and what it leaves alone in the process.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "checks.h"
#include "poise/dataset.h"
#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/fusion.h"
#include "poise/modulation.h"

namespace poise::conformance {
namespace {

/// Makes an object and drops it.
void construct(const PoisePlugin& plugin, Config& config) {
  const std::string kind = plugin.kind;
  void* object = plugin.create(&config);
  if (kind == "dataset") {
    delete static_cast<Dataset*>(object);
  } else if (kind == "encoder") {
    delete static_cast<Encoder*>(object);
  } else if (kind == "fusion") {
    delete static_cast<Fusion*>(object);
  } else {
    delete static_cast<Modulation*>(object);
  }
}

std::vector<Option> declared(const Subject& subject) {
  Config config = Config::recording();
  construct(*subject.plugin, config);
  return config.options();
}

/// The sentence with which the plugin refuses its options and `more`; nothing when it takes them.
std::optional<std::string> refusal(const Subject& subject, const std::string& more) {
  auto config = Config::parse(merged(subject.options, more));
  try {
    construct(*subject.plugin, config);
    config.finish();
  } catch (const Error& error) {
    if (error.fault() != Fault::usage) throw;
    return error.what();
  }
  return std::nullopt;
}

Finding defaults_construct(const Subject& subject) {
  if (const auto sentence = refusal(subject, "")) return failed(*sentence);
  for (const auto& option : declared(subject)) {
    if (option.meaning.empty()) return failed("the option " + option.key + " has no meaning");
    if (option.is_required) continue;
    const std::string line = option.key + " = " + option.default_value + "\n";
    const auto sentence = refusal({subject.plugin, merged(line, subject.options), subject.seed}, "");
    // It may say that the option has no effect here, but not that the value is outside its range.
    if (sentence && sentence->find(option.key + " is " + option.default_value) != std::string::npos) {
      return failed("the default of " + option.key + " is outside its own range: " + *sentence);
    }
  }
  return passed();
}

Finding unknown_key_refused(const Subject& subject) {
  const auto sentence = refusal(subject, "no_such_option = 1");
  if (!sentence) return failed("it takes the option no_such_option");
  if (sentence->find("no_such_option") == std::string::npos) {
    return failed("it refuses the option no_such_option without naming it: " + *sentence);
  }
  return passed();
}

/// A value as TOML, of the option's type; empty where the type cannot hold it.
std::string written(const Option& option, double value) {
  const bool is_whole = option.type == "integer" || option.type == "integers";
  const bool is_list = option.type == "numbers" || option.type == "integers";
  if (is_whole && std::abs(value) > 9e18) return "";
  const auto one = is_whole ? std::to_string(static_cast<std::int64_t>(value)) : std::to_string(value);
  return is_list ? "[" + one + "]" : one;
}

/// Values outside the range as Config words it: "from 0 to 1", "at least 0", "at most 1", "one of ...".
std::vector<std::string> values_outside(const Option& option) {
  const auto below = [&](double least) { return written(option, least - std::max(1.0, std::abs(least))); };
  const auto above = [&](double most) { return written(option, most + std::max(1.0, std::abs(most))); };
  std::istringstream range(option.range);
  std::string first;
  std::string second;
  range >> first;
  if (first == "one") return {"\"no such choice\""};
  double value = 0;
  std::vector<std::string> values;
  if (first == "from") {
    double most = 0;
    range >> value >> second >> most;
    values = {below(value), above(most)};
  } else if (first == "at") {
    range >> second >> value;
    values = {second == "least" ? below(value) : above(value)};
  }
  std::erase(values, std::string());
  return values;
}

Finding range_refused(const Subject& subject) {
  Findings findings;
  for (const auto& option : declared(subject)) {
    for (const auto& value : values_outside(option)) {
      const auto setting = option.key + " = " + value;
      const auto sentence = refusal(subject, setting);
      if (!sentence) return failed("it takes " + setting + ", and declares " + option.range);
      if (sentence->find(option.key) == std::string::npos) {
        return failed("it refuses " + setting + " without naming the option: " + *sentence);
      }
      findings.add(option.key, passed());
    }
  }
  return findings.overall();
}

/// What an object is and computes, by the plugin's kind.
Tensors result(const Subject& subject) {
  const std::string kind = subject.plugin->kind;
  if (kind == "dataset") return dataset_result(subject);
  if (kind == "encoder") return encoder_result(subject);
  if (kind == "fusion") return fusion_result(subject);
  return modulation_result(subject);
}

Finding same_seed_same_bits(const Subject& subject) {
  const auto once = clones(result(subject));
  if (once.empty()) return skipped("it could not be built here");
  return same_bits(result(subject), once) ? passed()
                                          : failed("made twice from one seed, it computes other bits");
}

Finding globals_untouched(const Subject& subject) {
  const auto dtype = c10::get_default_dtype();
  const auto threads = at::get_num_threads();
  const auto fault = [&](const std::string& when) -> std::string {
    if (c10::get_default_dtype() != dtype) return when + " changes the default dtype";
    if (at::get_num_threads() != threads) return when + " changes the number of threads";
    if (!at::GradMode::is_enabled()) return when + " switches gradients off";
    return "";
  };
  const auto generator = generator_state();
  auto config = Config::parse(subject.options);
  construct(*subject.plugin, config);
  if (!same_bits(generator_state(), generator))
    return failed("its constructor draws from, or seeds, the default generator");
  if (const auto sentence = fault("its constructor"); !sentence.empty()) return failed(sentence);
  result(subject);
  if (const auto sentence = fault("its work"); !sentence.empty()) return failed(sentence);
  return passed();
}

Finding generator_not_reseeded(const Subject& subject) {
  if (result(subject).empty()) return skipped("it could not be built here");
  const auto state = generator_state();
  result({subject.plugin, subject.options, subject.seed + 1});
  return same_bits(generator_state(), state)
             ? failed("two runs from different seeds leave the default generator in one state: it seeds it")
             : passed();
}

}  // namespace

std::vector<Check> any_checks() {
  return {
      {"defaults_construct",
       "It can be made with no option but the required ones, and each default is inside its own range.",
       &defaults_construct},
      {"unknown_key_refused", "An option that it does not know is refused by name.", &unknown_key_refused},
      {"range_refused", "A value outside an option's declared range is refused by the option's name.",
       &range_refused},
      {"same_seed_same_bits", "The same seed gives the same bits.", &same_seed_same_bits},
      {"globals_untouched",
       "The default dtype, the number of threads and, by its constructor, the default generator stay as they "
       "are.",
       &globals_untouched},
      {"generator_not_reseeded", "It never seeds the default generator.", &generator_not_reseeded},
  };
}

}  // namespace poise::conformance
