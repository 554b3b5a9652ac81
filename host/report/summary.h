#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace poise {

/// A quantity over runs that differ in the seed only.
struct Spread {
  std::size_t count = 0;  ///< runs; 0: there is no such quantity
  double mean = std::numeric_limits<double>::quiet_NaN();
  double deviation =
      std::numeric_limits<double>::quiet_NaN();  ///< sample standard deviation; NaN below 2 runs
  /// Half of the mean's 95 % confidence interval, by Student's t; infinite for 1 run.
  double half_width = std::numeric_limits<double>::quiet_NaN();
};

/// What a split says about a trained model.
struct SplitResult {
  double score = 0;  ///< the task's main metric, RunResult::metric, as a fraction of 1
  double loss = 0;
  std::map<std::string, double> modality_score;  ///< only that modality is shown to the model
};

/// Work done; passes are counted per training step.
struct Cost {
  std::map<std::string, double> encoder_passes;  ///< by modality
  double fusion_passes = 0;
  double backward_passes = 0;
  double extra_passes = 0;  ///< over the training split beside the steps, per epoch
  double total_seconds = 0;
};

/// One finished run, as its folder tells it.
struct RunResult {
  std::string folder;     ///< name below the folder that is reported
  std::string label;      ///< "agm alpha=1.5 seed=0"
  std::string group;      ///< "agm alpha=1.5": runs of one group differ in the seed only
  std::string condition;  ///< the end of the group that says what the data are: "noise_snr=0"; often ""
  std::string title;      ///< of the pipeline
  std::string modulation;
  std::string fusion;
  std::string alone;  ///< the one modality that was trained, or "" when all were
  std::vector<std::string> modalities;
  std::int64_t seed = 0;
  std::string hash;
  std::string metric;  ///< "accuracy", "mean_average_precision" or "r2"
  SplitResult validation;
  SplitResult test;
  nlohmann::json best;  ///< {"score", "modality_score"}: the best that any model can reach; null: not known
  Cost cost;
  nlohmann::json provenance;  ///< what produced the run, as it was written
  nlohmann::json epochs;      ///< array: the objects of metrics.jsonl
};

/// How far a modality inside a model stays behind the same modality trained alone, on the test split, over
/// the seeds that both have.
struct Gap {
  Spread shown_alone;    ///< score of the model when only this modality is shown
  Spread trained_alone;  ///< score of the run that has no other modality
  Spread difference;     ///< trained_alone - shown_alone, seed by seed
};

/// What a method gains on joint training: differences of the test score, paired by seed.
struct Gain {
  Spread difference;
  double p = std::numeric_limits<double>::quiet_NaN();  ///< two-sided paired t-test; NaN below 2 seeds
  double adjusted_p = std::numeric_limits<double>::quiet_NaN();  ///< Holm's, over all gains of the report
  double detectable =
      std::numeric_limits<double>::quiet_NaN();  ///< what the test alone finds with 80 % power

  /// Whether it can be told from 0.
  [[nodiscard]] bool is_significant() const { return adjusted_p <= 0.05; }
};

/// One row of the table: the runs of one group, ordered by seed.
struct MethodSummary {
  std::string group;
  std::string name;  ///< the group without its condition
  std::string condition;
  std::string modulation;
  std::string fusion;
  std::string alone;
  std::vector<RunResult> runs;
  Spread score;                                  ///< test
  Spread validation;                             ///< the same score, of the validation split
  std::map<std::string, Spread> modality_score;  ///< test, only that modality shown
  std::map<std::string, Gap> gaps;               ///< of modalities that were also trained alone
  std::optional<Gain> to_joint;                  ///< over the seeds that both have
  bool is_selected = false;  ///< of several settings of a method that with the best mean validation score
};

/// Methods on the same data.
struct ConditionSummary {
  std::string name;                    ///< "image_energy=0.25 noise_snr=0"; "" where the data do not vary
  std::string headline;                ///< which modality is starved, in a sentence
  nlohmann::json best;                 ///< that of the runs with every modality, where they agree
  std::vector<MethodSummary> methods;  ///< by falling score, then each modality alone
};

/// Everything a report shows.
struct Summary {
  std::string title;
  std::string metric;  ///< of every score
  std::vector<std::string> modalities;
  std::vector<ConditionSummary> conditions;
  std::vector<std::string> notes;  ///< sentences about what could not be shown
};

}  // namespace poise
