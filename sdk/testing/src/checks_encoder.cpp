// What must hold for every encoder, tried on an image, a vector and a sequence; what it refuses is left out.
#include <cstdint>
#include <exception>

#include <ATen/ATen.h>
#include <torch/utils.h>

#include "checks.h"
#include "poise/encoder.h"
#include "poise/error.h"
#include "poise/intermediate.h"

namespace poise::conformance {
namespace {

using torch::Tensor;

constexpr std::int64_t rows = 6;    // samples of a batch
constexpr std::int64_t steps = 12;  // of a sequence

struct Built {
  Modality modality;
  std::shared_ptr<Encoder> encoder;
};

struct Input {
  Tensor values;
  Tensor lengths;
};

std::vector<Modality> tried() {
  std::vector<Modality> all(3);
  all[0].name = "image";
  all[0].shape = {1, 28, 28};
  all[1].name = "vector";
  all[1].shape = {16};
  all[2].name = "sequence";
  all[2].shape = {steps, 8};
  all[2].is_sequence = true;
  return all;
}

std::string described(const Modality& modality) {
  return text("as encoder of a modality '", modality.name, "' ", at::IntArrayRef(modality.shape));
}

/// Random values everywhere, in the padding too. The first sample of a sequence has all steps.
Input input_for(const Modality& modality, std::int64_t longest = steps) {
  auto sizes = modality.shape;
  sizes.insert(sizes.begin(), rows);
  Input input{at::randn(sizes, at::kFloat), {}};
  if (modality.is_sequence) {
    input.lengths = at::randint(1, longest + 1, {rows}, at::kLong);
    input.lengths[0].fill_(longest);
  }
  return input;
}

/// With the weights and buffers that some training leaves. Without those whose modality it refuses.
std::vector<Built> built(const Subject& subject, std::string* why_not = nullptr) {
  std::vector<Built> all;
  for (const auto& modality : tried()) {
    auto encoder = make<Encoder>(subject);
    torch::manual_seed(subject.seed);
    try {
      encoder->build(modality);
    } catch (const Error& error) {
      if (error.fault() != Fault::usage) throw;
      if (why_not != nullptr) *why_not = error.what();
      continue;
    }
    perturb(*encoder);
    const at::NoGradGuard no_grad;
    for (int i = 0; i < 3; ++i) {
      const auto input = input_for(modality);
      encoder->forward(input.values, input.lengths);
    }
    all.push_back({modality, encoder});
  }
  return all;
}

using EncoderCheck = Finding (*)(const Modality& modality, Encoder& encoder);
template <EncoderCheck check>
Finding on_each(const Subject& subject) {
  Findings findings;
  for (auto& [modality, encoder] : built(subject)) {
    if (findings.add(described(modality), check(modality, *encoder))) break;
  }
  return findings.overall();
}

/// Tokens without those of the padding; features as they are.
Tensor without_padding(const Tensor& features, const Tensor& lengths) {
  if (features.dim() != 3 || !lengths.defined()) return features;
  const auto step = at::arange(features.size(1), at::kLong).unsqueeze(0);
  return features.masked_fill(step.ge(lengths.unsqueeze(1)).unsqueeze(2), 0);
}

/// The input with other values in the padding, or, where there are no lengths, itself.
Tensor other_padding(const Input& input) {
  if (!input.lengths.defined()) return input.values;
  const auto step = at::arange(input.values.size(1), at::kLong).unsqueeze(0);
  auto padding = step.ge(input.lengths.unsqueeze(1));
  while (padding.dim() < input.values.dim()) padding = padding.unsqueeze(-1);
  return at::where(padding, input.values * -5 + 3, input.values);
}

Finding takes_a_modality(const Subject& subject) {
  std::string why_not;
  return built(subject, &why_not).empty() ? failed("it refuses images, vectors and sequences: " + why_not)
                                          : passed();
}

Finding width_as_declared(const Modality& modality, Encoder& encoder) {
  const auto input = input_for(modality);
  const auto features = encoder.forward(input.values, input.lengths);
  const bool shaped = (features.dim() == 2 || features.dim() == 3) && features.size(0) == rows;
  if (!shaped || features.size(-1) != encoder.width()) {
    return failed(text("features have the shape ", features.sizes(), " for ", rows, " samples and the width ",
                       encoder.width()));
  }
  if (features.scalar_type() != at::kFloat)
    return failed(text("features are ", c10::toString(features.scalar_type())));
  return is_finite(without_padding(features, input.lengths)) ? passed() : failed("features are not finite");
}

Finding tokens_as_declared(const Modality& modality, Encoder& encoder) {
  const auto input = input_for(modality);
  const auto features = encoder.forward(input.values, input.lengths);
  if (encoder.gives_tokens() != (features.dim() == 3)) {
    return failed(text("it says that it gives ", encoder.gives_tokens() ? "tokens" : "no tokens",
                       ", and its features have the shape ", features.sizes()));
  }
  if (features.dim() == 3 && modality.is_sequence && features.size(1) != input.values.size(1)) {
    return failed(text(features.size(1), " tokens for ", input.values.size(1), " steps"));
  }
  return passed();
}

Finding gradient_reaches_every_parameter(const Modality& modality, Encoder& encoder) {
  const auto input = input_for(modality);
  const auto features = without_padding(encoder.forward(input.values, input.lengths), input.lengths);
  if (!features.requires_grad())
    return encoder.parameters().empty() ? passed() : failed("its features have no gradient");
  (features * at::randn_like(features)).sum().backward();
  const auto fault = gradient_fault(encoder);
  return fault.empty() ? passed() : failed(fault);
}

Finding rows_are_independent(const Modality& modality, Encoder& encoder) {
  const at::NoGradGuard no_grad;
  encoder.eval();
  const auto input = input_for(modality);
  const auto features = without_padding(encoder.forward(input.values, input.lengths), input.lengths);
  const auto others = at::cat({input.values.narrow(0, 0, 3), input.values.narrow(0, 3, rows - 3) * -5});
  const auto again = without_padding(encoder.forward(others, input.lengths), input.lengths);
  if (!same_bits(again.narrow(0, 0, 3), features.narrow(0, 0, 3))) {
    return failed("in evaluation mode the features of a sample change with the other samples of the batch");
  }
  const auto lengths = input.lengths.defined() ? input.lengths.narrow(0, 0, 2) : Tensor();
  const auto few = without_padding(encoder.forward(input.values.narrow(0, 0, 2), lengths), lengths);
  const auto off = difference(few, features.narrow(0, 0, 2));
  return off <= 1e-5 ? passed() : failed(text("in a smaller batch the features of a sample differ by ", off));
}

Finding batch_of_one(const Modality& modality, Encoder& encoder) {
  const at::NoGradGuard no_grad;
  encoder.eval();
  const auto input = input_for(modality);
  const auto lengths = input.lengths.defined() ? input.lengths.narrow(0, 0, 1) : Tensor();
  const auto features = encoder.forward(input.values.narrow(0, 0, 1), lengths);
  if (features.dim() < 2 || features.size(0) != 1)
    return failed(text("features have the shape ", features.sizes()));
  return is_finite(without_padding(features, lengths)) ? passed() : failed("features are not finite");
}

Finding modes_agree(const Modality& modality, Encoder& encoder) {
  if (!encoder.modes_agree()) return skipped("it does not say so");
  const at::NoGradGuard no_grad;
  const auto input = input_for(modality);
  const auto before = clones(encoder.buffers());
  encoder.eval();
  const auto evaluated = encoder.forward(input.values, input.lengths).clone();
  encoder.train();
  const auto trained = encoder.forward(input.values, input.lengths);
  if (!same_bits(without_padding(trained, input.lengths), without_padding(evaluated, input.lengths))) {
    return failed("training and evaluation mode give other bits, and it says that they agree");
  }
  return same_bits(encoder.buffers(), before)
             ? passed()
             : failed("training mode changes a buffer, and it says that the modes agree");
}

Finding absent_is_like_the_input(const Modality& modality, Encoder& encoder) {
  const auto input = input_for(modality);
  const auto absent = encoder.absent(input.values);
  if (absent.sizes() != input.values.sizes() || absent.scalar_type() != input.values.scalar_type()) {
    return failed(text("an absent input has the shape ", absent.sizes(), " and the type ",
                       c10::toString(absent.scalar_type())));
  }
  const at::NoGradGuard no_grad;
  encoder.eval();
  const auto features = without_padding(encoder.forward(absent, input.lengths), input.lengths);
  return is_finite(features) ? passed() : failed("the features of an absent input are not finite");
}

Finding constant_when_absent(const Modality& modality, Encoder& encoder) {
  if (!encoder.constant_when_absent()) return skipped("it does not say so");
  const at::NoGradGuard no_grad;
  encoder.eval();
  const auto input = input_for(modality);
  const auto other = input_for(modality);
  const auto features = encoder.forward(encoder.absent(input.values), input.lengths);
  // What the host would take in its place: the first row, for all.
  const auto expected = without_padding(features.narrow(0, 0, 1).expand_as(features), other.lengths);
  const auto absent =
      without_padding(encoder.forward(encoder.absent(other.values), other.lengths), other.lengths);
  const auto off = difference(absent, expected, 1e-3);
  return off <= 1e-5 ? passed()
                     : failed(text("absent inputs have features that differ by ", off,
                                   ", and it says that they are constant"));
}

Finding padding_changes_nothing(const Modality& modality, Encoder& encoder) {
  if (!modality.is_sequence) return skipped("it is no sequence");
  const at::NoGradGuard no_grad;
  encoder.eval();
  const std::int64_t longest = 7;
  const auto input = input_for(modality, longest);
  const auto features = without_padding(encoder.forward(input.values, input.lengths), input.lengths);
  const auto again = without_padding(encoder.forward(other_padding(input), input.lengths), input.lengths);
  if (!same_bits(again, features)) return failed("other values in the padding change the features");
  const auto batch = features.dim() == 3 ? features.narrow(1, 0, longest) : features;
  try {
    const auto shorter = encoder.forward(input.values.narrow(1, 0, longest), input.lengths);
    const auto off = difference(without_padding(shorter, input.lengths), batch);
    return off <= 1e-5 ? passed() : failed(text("with less padding the features differ by ", off));
  } catch (const std::exception&) {
    return warning(text("it takes no batch whose longest sequence has fewer than all ", steps, " steps"));
  }
}

Finding stages_equal_forward(const Modality& modality, Encoder& encoder) {
  auto* staged = dynamic_cast<StagedEncoder*>(&encoder);
  if (staged == nullptr) return skipped("it does not run in stages");
  const at::NoGradGuard no_grad;
  encoder.eval();
  const auto input = input_for(modality);
  const auto channels = staged->stage_channels();
  if (channels.empty()) return failed("it has no stage");
  Tensor x = input.values;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    x = staged->stage(i, x);
    if (x.dim() < 2 || x.size(1) != channels[i]) {
      return failed(text("stage ", i, " gives ", x.sizes(), ", and declares ", channels[i], " channels"));
    }
  }
  const auto off = difference(staged->pool(x), encoder.forward(input.values, input.lengths));
  return off <= 1e-5 ? passed() : failed(text("its stages and pool() differ from forward() by ", off));
}

}  // namespace

Tensors encoder_result(const Subject& subject) {
  Tensors result;
  for (auto& [modality, encoder] : built(subject)) {
    const auto input = input_for(modality);
    const auto features = encoder->forward(input.values, input.lengths);
    for (const auto& tensor : tensors_of(*encoder)) result.push_back(tensor);
    result.push_back(without_padding(features, input.lengths));
  }
  return result;
}

std::vector<Check> encoder_checks() {
  return {
      {"takes_a_modality", "It takes an image, a vector or a sequence.", &takes_a_modality},
      {"width_as_declared", "Features are [B, width] or tokens [B, T, width].", &on_each<width_as_declared>},
      {"tokens_as_declared", "It gives tokens if, and only if, it says so.", &on_each<tokens_as_declared>},
      {"gradient_reaches_every_parameter", "Every parameter gets a gradient that is finite and not zero.",
       &on_each<gradient_reaches_every_parameter>},
      {"rows_are_independent", "In evaluation mode a sample's features do not depend on the batch.",
       &on_each<rows_are_independent>},
      {"batch_of_one", "In evaluation mode a batch may have one sample.", &on_each<batch_of_one>},
      {"modes_agree", "Training and evaluation mode compute the same, where it says so.",
       &on_each<modes_agree>},
      {"absent_is_like_the_input", "An absent input has the shape and type of the input.",
       &on_each<absent_is_like_the_input>},
      {"constant_when_absent", "Absent inputs have the same features, where it says so.",
       &on_each<constant_when_absent>},
      {"padding_changes_nothing", "What is beyond a sample's length does not change its features.",
       &on_each<padding_changes_nothing>},
      {"stages_equal_forward", "The stages in order and then pool() compute what forward() does.",
       &on_each<stages_equal_forward>},
  };
}

}  // namespace poise::conformance
