#include "analysis/starvation.h"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/statistics.h"
#include "poise/joint_training.h"

namespace poise {
namespace {

using NamedGap = std::pair<const std::string, Gap>;

const NamedGap* largest(const std::map<std::string, Gap>& gaps) {
  const auto found = std::max_element(gaps.begin(), gaps.end(), [](const NamedGap& a, const NamedGap& b) {
    return a.second.difference.mean < b.second.difference.mean;
  });
  return found == gaps.end() ? nullptr : &*found;
}

/// "audio", "audio and image", "audio, image and text"
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string sentence(const std::string& who, const NamedGap& named) {
  const auto& [modality, gap] = named;
  const Spread& difference = gap.difference;
  const std::string figures =
      fmt::format("shown alone to the joint model it reaches {:.1f} %, trained alone {:.1f} %",
                  100 * gap.shown_alone.mean, 100 * gap.trained_alone.mean);
  const std::string points = fmt::format("{:.1f} points", 100 * difference.mean);
  if (difference.count == 1 && difference.mean > 0) {
    return fmt::format("{} seems to starve {}: {} (gap {}, of one seed, so its noise is unknown).", who,
                       modality, figures, points);
  }
  if (difference.mean > interval_half_width(difference)) {
    return fmt::format("{} starves {}: {} (gap {}, {} seeds).", who, modality, figures, points,
                       difference.count);
  }
  const std::string noise = difference.count == 1 ? "of one seed"
                                                  : fmt::format("with a deviation of {:.1f} over {} seeds",
                                                                100 * difference.deviation, difference.count);
  return fmt::format(
      "{} starves no modality beyond the noise of its seeds: the largest gap is that of {}, {} {} ({}).", who,
      modality, points, noise, figures);
}

std::vector<std::string> never_alone(const MethodSummary& joint, const std::vector<std::string>& modalities) {
  std::vector<std::string> missing;
  std::copy_if(modalities.begin(), modalities.end(), std::back_inserter(missing),
               [&](const std::string& modality) { return !joint.gaps.contains(modality); });
  return missing;
}

}  // namespace

std::string starvation(const std::vector<MethodSummary>& methods,
                       const std::vector<std::string>& modalities) {
  std::vector<const MethodSummary*> joints;
  for (const MethodSummary& method : methods) {
    if (method.modulation == joint_training && method.alone.empty() && !method.to_joint)
      joints.push_back(&method);
  }
  if (joints.empty()) return "Which modality is starved cannot be said: no run trains all of them jointly.";
  const auto largest_gap = [](const MethodSummary* joint) {
    const NamedGap* named = largest(joint->gaps);
    return named == nullptr ? -1 : named->second.difference.mean;
  };
  std::stable_sort(joints.begin(), joints.end(), [&](const MethodSummary* a, const MethodSummary* b) {
    return largest_gap(a) > largest_gap(b);
  });

  const bool only = joints.size() == 1;
  const std::size_t left_out = joints.size() - std::min<std::size_t>(joints.size(), 3);
  joints.resize(joints.size() - left_out);

  std::string text;
  for (const MethodSummary* joint : joints) {
    const std::string who = only ? "Joint training" : fmt::format("Training \"{}\"", joint->name);
    if (!text.empty()) text += ' ';
    if (const NamedGap* named = largest(joint->gaps)) {
      text += sentence(who, *named);
      if (const auto missing = never_alone(*joint, modalities); !missing.empty()) {
        text += fmt::format(" No run with the same seeds trains {} alone.", listed(missing));
      }
    } else {
      text += fmt::format(
          "Whether {}{} starves a modality cannot be said: no run with the same seeds trains one alone.",
          only ? "joint training" : "training ", only ? "" : '"' + joint->name + '"');
    }
  }
  if (left_out > 0) text += fmt::format(" The gaps of {} more are in the table.", left_out);
  return text;
}

}  // namespace poise
