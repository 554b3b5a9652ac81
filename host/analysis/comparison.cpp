#include "analysis/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "analysis/statistics.h"
#include "poise/joint_training.h"

namespace poise {
namespace {

using Quantity = std::function<const double*(const RunResult&)>;

const double* test_score(const RunResult& run) { return &run.test.score; }
const double* validation_score(const RunResult& run) { return &run.validation.score; }

Quantity test_score_of(const std::string& modality) {
  return [modality](const RunResult& run) -> const double* {
    const auto found = run.test.modality_score.find(modality);
    return found == run.test.modality_score.end() ? nullptr : &found->second;
  };
}

BySeed by_seed(const MethodSummary& method, const Quantity& quantity) {
  BySeed values;
  for (const RunResult& run : method.runs) {
    if (const double* value = quantity(run)) values[run.seed] = *value;
  }
  return values;
}

/// The words of a group's name after what names the method: the modulation, or "audio alone".
std::set<std::string> settings(const MethodSummary& method) {
  std::istringstream words(method.group);
  std::set<std::string> result;
  std::string word;
  for (int skipped = method.alone.empty() ? 1 : 2; words >> word; --skipped) {
    if (skipped <= 0) result.insert(word);
  }
  return result;
}

using Methods = std::vector<const MethodSummary*>;

bool includes(const MethodSummary& method, const MethodSummary& reference) {
  const std::set<std::string> own = settings(method);
  const std::set<std::string> wanted = settings(reference);
  return std::includes(own.begin(), own.end(), wanted.begin(), wanted.end());
}

/// Of several references the one with most settings of those whose settings `method` has, too; null when
/// that is not exactly one.
const MethodSummary* matching(const MethodSummary& method, Methods references) {
  if (references.size() > 1) {
    std::erase_if(references, [&](const MethodSummary* reference) { return !includes(method, *reference); });
    std::size_t most = 0;
    for (const MethodSummary* reference : references) most = std::max(most, settings(*reference).size());
    std::erase_if(references,
                  [&](const MethodSummary* reference) { return settings(*reference).size() < most; });
  }
  return references.size() == 1 ? references.front() : nullptr;
}

const MethodSummary* baseline_of(const MethodSummary& method, const std::vector<MethodSummary>& methods) {
  Methods references;
  for (const MethodSummary& other : methods) {
    if (other.modulation == joint_training && other.alone.empty() && other.fusion == method.fusion &&
        other.condition == method.condition) {
      references.push_back(&other);
    }
  }
  if (method.modulation == joint_training) {
    std::erase_if(references, [&](const MethodSummary* reference) {
      return !includes(method, *reference) || includes(*reference, method);
    });
  }
  return matching(method, references);
}

/// Alone, a modality may have been trained with one of the fusions only: it stands for the others.
const MethodSummary* trained_alone(const std::string& modality, const MethodSummary& method,
                                   const std::vector<MethodSummary>& methods) {
  Methods any_fusion;
  Methods same_fusion;
  for (const MethodSummary& other : methods) {
    if (other.alone != modality || other.condition != method.condition) continue;
    any_fusion.push_back(&other);
    if (other.fusion == method.fusion) same_fusion.push_back(&other);
  }
  return matching(method, same_fusion.empty() ? any_fusion : same_fusion);
}

Gap gap(const BySeed& shown, const BySeed& alone) {
  return {spread(at_common_seeds(shown, alone)), spread(at_common_seeds(alone, shown)),
          paired_difference(alone, shown)};
}

void compare_with_references(MethodSummary& method, const std::vector<MethodSummary>& methods) {
  if (!method.alone.empty()) return;
  if (const MethodSummary* joint = baseline_of(method, methods)) {
    const Spread difference = paired_difference(by_seed(method, test_score), by_seed(*joint, test_score));
    if (difference.count > 0) {
      Gain gain;
      gain.difference = difference;
      gain.p = paired_t_test(difference);
      gain.detectable = detectable_difference(difference);
      method.to_joint = gain;
    }
  }
  for (const auto& [modality, score] : method.modality_score) {
    const MethodSummary* alone = trained_alone(modality, method, methods);
    if (alone == nullptr) continue;
    const Gap found = gap(by_seed(method, test_score_of(modality)), by_seed(*alone, test_score));
    if (found.difference.count > 0) method.gaps[modality] = found;
  }
}

/// "agm alpha=1.5" of "agm alpha=1.5 noise_snr=0" and "noise_snr=0".
std::string without_end(const std::string& group, const std::string& condition) {
  const std::string end = " " + condition;
  return !condition.empty() && group.ends_with(end) ? group.substr(0, group.size() - end.size()) : group;
}

MethodSummary summarize(std::vector<RunResult> runs) {
  std::sort(runs.begin(), runs.end(), [](const RunResult& a, const RunResult& b) { return a.seed < b.seed; });
  MethodSummary method;
  method.group = runs.front().group;
  method.condition = runs.front().condition;
  method.name = without_end(method.group, method.condition);
  method.modulation = runs.front().modulation;
  method.fusion = runs.front().fusion;
  method.alone = runs.front().alone;
  std::set<std::string> modalities;
  for (const RunResult& run : runs) {
    for (const auto& [modality, score] : run.test.modality_score) modalities.insert(modality);
  }
  method.runs = std::move(runs);
  method.score = spread(by_seed(method, test_score));
  method.validation = spread(by_seed(method, validation_score));
  for (const std::string& modality : modalities) {
    method.modality_score[modality] = spread(by_seed(method, test_score_of(modality)));
  }
  return method;
}

void correct_for_their_number(std::vector<MethodSummary>& methods) {
  std::vector<double> p;
  for (const MethodSummary& method : methods) {
    if (method.to_joint) p.push_back(method.to_joint->p);
  }
  const std::vector<double> adjusted = holm(p);
  std::size_t i = 0;
  for (MethodSummary& method : methods) {
    if (method.to_joint) method.to_joint->adjusted_p = adjusted[i++];
  }
}

/// Of equal ones the first.
void select_settings(std::vector<MethodSummary>& methods) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<MethodSummary*>> settings_of;
  for (MethodSummary& method : methods) {
    if (method.alone.empty()) {
      settings_of[{method.condition, method.fusion, method.modulation}].push_back(&method);
    }
  }
  for (auto& [key, candidates] : settings_of) {
    if (candidates.size() < 2) continue;
    std::erase_if(candidates,
                  [](const MethodSummary* method) { return std::isnan(method->validation.mean); });
    if (candidates.empty()) continue;
    MethodSummary* best = *std::max_element(candidates.begin(), candidates.end(),
                                            [](const MethodSummary* a, const MethodSummary* b) {
                                              return a->validation.mean < b->validation.mean;
                                            });
    best->is_selected = true;
  }
}

/// NaN, a run that diverged, comes after all scores.
double falling(const Spread& score) {
  return std::isnan(score.mean) ? std::numeric_limits<double>::infinity() : -score.mean;
}

}  // namespace

std::vector<MethodSummary> compare(std::vector<RunResult> runs) {
  std::map<std::string, std::vector<RunResult>> groups;
  for (RunResult& run : runs) groups[run.group].push_back(std::move(run));

  std::vector<MethodSummary> methods;
  methods.reserve(groups.size());
  for (auto& [group, members] : groups) methods.push_back(summarize(std::move(members)));
  const auto rank = [](const MethodSummary& method) {
    const bool alone = !method.alone.empty();
    return std::tuple(method.condition, alone, alone ? 0 : falling(method.score), method.group);
  };
  std::sort(methods.begin(), methods.end(),
            [&](const MethodSummary& a, const MethodSummary& b) { return rank(a) < rank(b); });
  for (MethodSummary& method : methods) compare_with_references(method, methods);
  correct_for_their_number(methods);
  select_settings(methods);
  return methods;
}

}  // namespace poise
