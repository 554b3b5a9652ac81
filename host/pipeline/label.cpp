#include "pipeline/label.h"

#include <algorithm>

#include "pipeline/toml_text.h"

namespace poise {
namespace {

/// A value as it stands in a label: a text without quotes.
std::string plain(const toml::node& node) {
  const auto* text = node.as_string();
  return text != nullptr ? text->get() : toml_text(node);
}

bool is_default(const toml::node& node, const std::string& key, const std::vector<Option>& options) {
  const auto option =
      std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.key == key; });
  if (option == options.end() || option->is_required || option->default_value.empty()) return false;
  const toml::table otherwise = toml::parse("value = " + option->default_value);
  return toml_text(*otherwise.get("value")) == toml_text(node);
}

/// " alpha=1.5 window=3": the options of a plugin's table that are not at their defaults.
std::string options_text(const toml::table& table, const std::vector<Option>& options) {
  std::string text;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (name == "plugin" || is_default(node, name, options)) continue;
    text += " " + name + "=" + plain(node);
  }
  return text;
}

std::string plugin_text(const toml::table& table, const std::vector<Option>& options) {
  return plain(*table.get("plugin")) + options_text(table, options);
}

bool begins_with(const std::string& path, const std::string& top) {
  return path == top || path.starts_with(top + ".");
}

/// The last part of an axis, or all of it where another axis ends in the same part.
std::string short_name(const std::string& axis, const std::vector<std::string>& axes) {
  const auto last = [](const std::string& path) { return path.substr(path.rfind('.') + 1); };
  const auto same =
      std::count_if(axes.begin(), axes.end(), [&](const auto& a) { return last(a) == last(axis); });
  return same > 1 ? axis : last(axis);
}

/// True when `axis` shows in the modulation's or the fusion's own text, or acts on nothing in this run.
bool is_told_elsewhere(const std::string& axis, const Labelled& run, bool fusion_is_axis) {
  if (axis == "seed" || begins_with(axis, "modulation")) return true;
  if (begins_with(axis, "fusion") && fusion_is_axis) return true;
  if (run.alone.empty()) return false;
  return axis == "fusion" || axis == "dataset.modalities" ||
         (axis.starts_with("encoder.") && !begins_with(axis, "encoder." + run.alone));
}

std::string axis_text(const std::string& axis, const Labelled& run) {
  const toml::node* node = toml::at_path(run.table, axis).node();
  if (node == nullptr) return "";
  const std::string name = " " + short_name(axis, run.axes) + "=";
  const toml::table* table = node->as_table();
  if (table == nullptr || !table->contains("plugin")) return name + plain(*node);
  toml::table told = *table;
  if (!run.alone.empty())
    told.erase("modalities");  // the one that is trained alone, which the group begins with
  return name + plugin_text(told, {});
}

/// Whether the axis says what data a method is trained on.
bool is_condition(const std::string& axis) {
  return begins_with(axis, "dataset") && axis != "dataset.modalities";
}

}  // namespace

Label make_label(const Labelled& run) {
  const bool fusion_is_axis =
      run.alone.empty() && std::find(run.axes.begin(), run.axes.end(), "fusion") != run.axes.end();
  Label label;
  label.group = run.alone.empty() ? plugin_text(*run.table.get("modulation")->as_table(), run.modulation)
                                  : run.alone + " alone";
  if (fusion_is_axis) label.group += " " + plugin_text(*run.table.get("fusion")->as_table(), run.fusion);
  for (const auto& axis : run.axes) {
    if (is_told_elsewhere(axis, run, fusion_is_axis)) continue;
    (is_condition(axis) ? label.condition : label.group) += axis_text(axis, run);
  }
  label.group += label.condition;
  if (!label.condition.empty()) label.condition.erase(0, 1);
  label.run = label.group + " seed=" + plain(*run.table.get("seed"));
  return label;
}

}  // namespace poise
