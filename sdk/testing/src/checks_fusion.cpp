// What must hold for every fusion, tried with one, two and three modalities; what it refuses is left out. A fusion that
// acts inside the encoders gets small ones that run in stages.
#include <algorithm>
#include <cstdint>

#include <ATen/ATen.h>

#include "built_fusion.h"

namespace poise::conformance {
namespace {

using torch::Tensor;

constexpr std::int64_t rows = BuiltFusion::rows;
constexpr std::int64_t outputs = BuiltFusion::outputs;
constexpr std::int64_t steps = BuiltFusion::steps;

using FusionCheck = Finding (*)(BuiltFusion& built);
template <FusionCheck check>
Finding on_each(const Subject& subject) {
  Findings findings;
  for (auto& built : built_fusions(subject)) {
    const auto label =
        text("with ", built.modalities(), built.modalities() == 1 ? " modality" : " modalities");
    if (findings.add(label, check(built))) break;
  }
  return findings.overall();
}

Tensors narrowed(const Tensors& tensors, std::int64_t count) {
  Tensors result;
  for (const auto& tensor : tensors)
    result.push_back(tensor.defined() ? tensor.narrow(0, 0, count) : Tensor());
  return result;
}

Finding takes_modalities(const Subject& subject) {
  std::string why_not;
  return built_fusions(subject, &why_not).empty()
             ? failed("it refuses one, two and three modalities: " + why_not)
             : passed();
}

Finding shapes_as_declared(BuiltFusion& built) {
  const auto output = built.run();
  if (!has_shape(output.logits, {rows, outputs})) {
    return failed(text("logits have the shape ", output.logits.sizes(), ", not [", rows, ", ", outputs, "]"));
  }
  if (!output.feature.defined() || output.feature.dim() != 2 || output.feature.size(0) != rows) {
    return failed("the feature is not [B, d]");
  }
  return is_finite(output.logits) && is_finite(output.feature) ? passed()
                                                               : failed("logits or feature are not finite");
}

Finding encode_gives_widths(BuiltFusion& built) {
  if (built.inside == nullptr) return skipped("it does not act inside the encoders");
  const auto features = built.features(built.inputs);
  if (features.size() != built.modalities())
    return failed(text("encode() gives ", features.size(), " features"));
  for (std::size_t m = 0; m < features.size(); ++m) {
    if (has_shape(features[m], {rows, built.spec.widths[m]})) continue;
    return failed(text("encode() gives ", features[m].sizes(), " for the width ", built.spec.widths[m]));
  }
  return passed();
}

Finding gradient_reaches_everything(BuiltFusion& built) {
  // The choice among one has no gradient.
  if (built.modalities() < 2) return skipped("there is nothing to fuse");
  for (auto& input : built.inputs) input.requires_grad_();
  const auto logits = built.run().logits;
  (logits * at::randn_like(logits)).sum().backward();
  for (std::size_t m = 0; m < built.modalities(); ++m) {
    const Tensor& gradient = built.inputs[m].grad();
    if (!gradient.defined() || gradient.abs().max().item<double>() == 0) {
      return failed(text("no gradient reaches modality ", m));
    }
    if (!is_finite(gradient)) return failed(text("the gradient of modality ", m, " is not finite"));
  }
  const auto fault = gradient_fault(*built.fusion);
  return fault.empty() ? passed() : failed(fault);
}

Finding roles_are_given(BuiltFusion& built) {
  const auto parameters = built.fusion->parameters();
  const auto k = static_cast<int>(built.modalities());
  bool has_head = false;
  Tensors seen;
  for (const auto& [parameter, role, modalities] : built.fusion->roles()) {
    const auto is_it = [&, &given = parameter](const Tensor& other) { return other.is_same(given); };
    if (std::none_of(parameters.begin(), parameters.end(), is_it))
      return failed("a role is given to what is no parameter");
    if (std::any_of(seen.begin(), seen.end(), is_it)) return failed("a parameter has two roles");
    seen.push_back(parameter);
    if (role == Role::encoder || role == Role::own)
      return failed("a parameter of a fusion has the role encoder or own");
    if (role == Role::bypass && modalities.empty()) return failed("a bypass serves no modality");
    for (const int m : modalities) {
      if (m < 0 || m >= k) return failed(text("a parameter belongs to modality ", m, " of ", k));
    }
    has_head = has_head || role == Role::head;
  }
  return has_head ? passed() : failed("no parameter has the role head: the last linear layer's");
}

/// The features as share() takes them: tokens as their mean.
Tensors pooled(BuiltFusion& built) {
  auto features = built.features(built.inputs);
  for (std::size_t m = 0; m < features.size(); ++m) {
    features[m] = reference::mean_token(features[m], built.lengths[m]);
  }
  return features;
}

Finding shares_sum_to_logits(BuiltFusion& built) {
  if (!built.fusion->additive()) return skipped("it is not additive");
  const at::NoGradGuard no_grad;
  built.fusion->eval();
  for (const auto& [dtype, tolerance] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kDouble, 1e-12}}) {
    built.convert(dtype);
    const auto features = pooled(built);
    Tensor sum;
    for (std::size_t m = 0; m < features.size(); ++m) {
      const auto share = built.fusion->share(static_cast<int>(m), features[m]);
      sum = sum.defined() ? sum + share : share;
    }
    const auto off = difference(sum, built.run().logits);
    if (!(off <= tolerance))
      return failed(text("in ", c10::toString(dtype), " the shares miss the logits by ", off));
  }
  return passed();
}

Finding shares_have_their_weights(BuiltFusion& built) {
  if (!built.fusion->additive()) return skipped("it is not additive");
  for (int m = 0; m < static_cast<int>(built.modalities()); ++m) {
    const auto& roles = built.fusion->roles();
    const bool has_own = std::any_of(roles.begin(), roles.end(), [m](const RoleOf& of) {
      return of.role == Role::head && of.parameter.dim() == 2 && of.modalities == std::vector<int>{m};
    });
    if (!has_own) return failed(text("no weight of the head belongs to modality ", m, " alone"));
  }
  return passed();
}

/// z = W feature + b, where the head's weights are together as wide as the feature.
Finding feature_feeds_the_head(BuiltFusion& built) {
  const at::NoGradGuard no_grad;
  Tensors weights;
  Tensor bias = at::zeros({outputs}, at::kFloat);
  for (const auto& of : built.fusion->roles()) {
    if (of.role != Role::head) continue;
    if (of.parameter.dim() == 2 && of.parameter.size(0) == outputs) weights.push_back(of.parameter);
    if (has_shape(of.parameter, {outputs})) bias = bias + of.parameter;
  }
  built.fusion->eval();
  const auto output = built.run();
  std::int64_t width = 0;
  for (const auto& weight : weights) width += weight.size(1);
  if (width != output.feature.size(1)) return skipped("its head is not one linear layer on the feature");
  const auto off = difference(at::matmul(output.feature, at::cat(weights, 1).t()) + bias, output.logits);
  return off <= 1e-4 ? passed() : failed(text("the head on the feature misses the logits by ", off));
}

Finding modes_agree(BuiltFusion& built) {
  if (!built.fusion->modes_agree()) return skipped("it does not say so");
  const at::NoGradGuard no_grad;
  const auto before = clones(built.fusion->buffers());
  built.fusion->eval();
  const auto evaluated = built.run().logits.clone();
  built.fusion->train();
  if (!same_bits(built.run().logits, evaluated))
    return failed("training and evaluation mode give other bits, and it says that they agree");
  return same_bits(built.fusion->buffers(), before)
             ? passed()
             : failed("training mode changes a buffer, and it says that the modes agree");
}

Finding rows_are_independent(BuiltFusion& built) {
  const at::NoGradGuard no_grad;
  built.fusion->eval();
  const auto logits = built.run().logits;
  const auto few = built.run(narrowed(built.inputs, 3), narrowed(built.lengths, 3)).logits;
  const auto off = difference(few, logits.narrow(0, 0, 3));
  if (!(off <= 1e-5)) return failed(text("in a smaller batch the logits of a sample differ by ", off));
  Tensors others;
  for (const auto& input : built.inputs)
    others.push_back(at::cat({input.narrow(0, 0, 3), input.narrow(0, 3, rows - 3) * -5}));
  return same_bits(built.run(others, built.lengths).logits.narrow(0, 0, 3), logits.narrow(0, 0, 3))
             ? passed()
             : failed("in evaluation mode the logits of a sample change with the other samples of the batch");
}

Finding batch_of_one(BuiltFusion& built) {
  const at::NoGradGuard no_grad;
  built.fusion->eval();
  const auto logits = built.run(narrowed(built.inputs, 1), narrowed(built.lengths, 1)).logits;
  return has_shape(logits, {1, outputs}) && is_finite(logits)
             ? passed()
             : failed(text("logits of one sample have the shape ", logits.sizes(), ", or are not finite"));
}

Finding padding_changes_nothing(BuiltFusion& built) {
  if (!built.lengths[0].defined()) return skipped("it takes no tokens");
  const at::NoGradGuard no_grad;
  built.fusion->eval();
  built.lengths[0] = built.lengths[0].clamp_max(steps - 1);
  const auto logits = built.run().logits;
  const auto padding =
      at::arange(steps, at::kLong).unsqueeze(0).ge(built.lengths[0].unsqueeze(1)).unsqueeze(2);
  auto inputs = built.inputs;
  inputs[0] = at::where(padding, inputs[0] * -5 + 3, inputs[0]);
  if (!same_bits(built.run(inputs, built.lengths).logits, logits))
    return failed("other tokens in the padding change the logits");
  inputs[0] = inputs[0].narrow(1, 0, steps - 1);
  const auto off = difference(built.run(inputs, built.lengths).logits, logits);
  return off <= 1e-5 ? passed() : failed(text("with less padding the logits differ by ", off));
}

}  // namespace

Tensors fusion_result(const Subject& subject) {
  Tensors result;
  for (auto& built : built_fusions(subject)) {
    result.push_back(built.run().logits);
    for (const auto& tensor : tensors_of(*built.fusion)) result.push_back(tensor);
  }
  return result;
}

std::vector<Check> fusion_checks() {
  return {
      {"takes_modalities", "It takes one, two or three modalities.", &takes_modalities},
      {"shapes_as_declared", "Logits are [B, C], the feature is [B, d].", &on_each<shapes_as_declared>},
      {"encode_gives_widths",
       "Where it acts inside the encoders, encode() gives a feature of each one's width.",
       &on_each<encode_gives_widths>},
      {"gradient_reaches_everything", "Every parameter and every modality gets a gradient.",
       &on_each<gradient_reaches_everything>},
      {"roles_are_given", "The head's parameters are named, and a bypass names whom it serves.",
       &on_each<roles_are_given>},
      {"shares_sum_to_logits", "The shares of an additive fusion sum to its logits.",
       &on_each<shares_sum_to_logits>},
      {"shares_have_their_weights", "Each share of an additive fusion has a weight of its own.",
       &on_each<shares_have_their_weights>},
      {"feature_feeds_the_head", "The feature is the input of the last linear layer.",
       &on_each<feature_feeds_the_head>},
      {"modes_agree", "Training and evaluation mode compute the same, where it says so.",
       &on_each<modes_agree>},
      {"rows_are_independent", "In evaluation mode a sample's logits do not depend on the batch.",
       &on_each<rows_are_independent>},
      {"batch_of_one", "In evaluation mode a batch may have one sample.", &on_each<batch_of_one>},
      {"padding_changes_nothing", "What is beyond a sample's length does not change its logits.",
       &on_each<padding_changes_nothing>},
  };
}

}  // namespace poise::conformance
