#include "report/json.h"

namespace poise {
namespace {

using nlohmann::json;

json to_json(const Spread& spread) {
  return {{"count", spread.count},
          {"mean", spread.mean},
          {"deviation", spread.deviation},
          {"half_width", spread.half_width}};
}

json to_json(const std::optional<Gain>& gain) {
  if (!gain) return nullptr;
  return {{"difference", to_json(gain->difference)},
          {"p", gain->p},
          {"adjusted_p", gain->adjusted_p},
          {"is_significant", gain->is_significant()},
          {"detectable", gain->detectable}};
}

json to_json(const SplitResult& split) {
  return {{"score", split.score}, {"loss", split.loss}, {"modality_score", split.modality_score}};
}

json to_json(const RunResult& run) {
  return {{"folder", run.folder},
          {"label", run.label},
          {"seed", run.seed},
          {"hash", run.hash},
          {"validation", to_json(run.validation)},
          {"test", to_json(run.test)},
          {"cost",
           {{"encoder_passes_per_step", run.cost.encoder_passes},
            {"fusion_passes_per_step", run.cost.fusion_passes},
            {"backward_passes_per_step", run.cost.backward_passes},
            {"extra_passes_per_epoch", run.cost.extra_passes},
            {"total_seconds", run.cost.total_seconds}}},
          {"provenance", run.provenance}};
}

json to_json(const MethodSummary& method) {
  json modality_score = json::object();
  for (const auto& [modality, spread] : method.modality_score) modality_score[modality] = to_json(spread);
  json gaps = json::object();
  for (const auto& [modality, gap] : method.gaps) {
    gaps[modality] = {{"shown_alone", to_json(gap.shown_alone)},
                      {"trained_alone", to_json(gap.trained_alone)},
                      {"difference", to_json(gap.difference)}};
  }
  json runs = json::array();
  for (const RunResult& run : method.runs) runs.push_back(to_json(run));
  return {{"group", method.group},
          {"name", method.name},
          {"modulation", method.modulation},
          {"fusion", method.fusion},
          {"alone", method.alone},
          {"score", to_json(method.score)},
          {"validation", to_json(method.validation)},
          {"is_selected", method.is_selected},
          {"modality_score", std::move(modality_score)},
          {"gaps", std::move(gaps)},
          {"to_joint", to_json(method.to_joint)},
          {"runs", std::move(runs)}};
}

json to_json(const ConditionSummary& condition) {
  json methods = json::array();
  for (const MethodSummary& method : condition.methods) methods.push_back(to_json(method));
  return {{"name", condition.name},
          {"headline", condition.headline},
          {"best", condition.best},
          {"methods", std::move(methods)}};
}

}  // namespace

json to_json(const Summary& summary) {
  json conditions = json::array();
  for (const ConditionSummary& condition : summary.conditions) conditions.push_back(to_json(condition));
  return {{"title", summary.title},
          {"metric", summary.metric},
          {"modalities", summary.modalities},
          {"conditions", std::move(conditions)},
          {"notes", summary.notes}};
}

}  // namespace poise
