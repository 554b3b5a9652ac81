#include "pipeline/matrix.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "pipeline/document.h"
#include "pipeline/toml_text.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/suggest.h"

namespace poise {
namespace {

[[noreturn]] void refuse(const std::string& position, const std::string& sentence) {
  throw Error(position + ": " + sentence, Fault::usage);
}

struct Axis {
  std::string path;
  toml::array* values = nullptr;
  const toml::key* key = nullptr;
};

/// `[matrix]` writes an axis as nested tables (train.optimizer.lr = [...]) or as a quoted key.
void collect(toml::table& table, const std::string& prefix, std::vector<Axis>& axes) {
  for (auto&& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    if (path == "exclude") continue;
    if (node.is_table()) {
      collect(*node.as_table(), path + ".", axes);
    } else if (toml::array* values = node.as_array(); values != nullptr && !values->empty()) {
      axes.push_back({path, values, &key});
    } else {
      refuse(where(node), "matrix." + path + " must be a list of at least one value.");
    }
  }
}

/// The axes in the order in which they were written, seed last.
std::vector<Axis> axes_of(toml::table& matrix, const std::vector<std::string>& sources) {
  std::vector<Axis> axes;
  collect(matrix, "", axes);
  const auto order = [&](const Axis& axis) {
    const toml::source_region& source = axis.key->source();
    const auto rank =
        std::find(sources.begin(), sources.end(), source.path ? *source.path : "") - sources.begin();
    return std::make_tuple(axis.path == "seed", rank, source.begin.line, source.begin.column);
  };
  std::sort(axes.begin(), axes.end(), [&](const Axis& a, const Axis& b) { return order(a) < order(b); });

  const std::vector<std::string> known = {"dataset", "encoder", "fusion", "modulation", "train", "seed"};
  for (const auto& axis : axes) {
    const std::string top = axis.path.substr(0, axis.path.find('.'));
    if (std::find(known.begin(), known.end(), top) == known.end()) {
      refuse(where(*axis.key), "[matrix] cannot vary " + axis.path + did_you_mean(top, known));
    }
  }
  return axes;
}

/// True when a value of an axis is what `pattern` of an `exclude` entry means: the same value, a table by its
/// plugin's name, or a table that has all that the pattern has.
bool matches(const toml::node& pattern, const toml::node& value) {
  const toml::table* table = value.as_table();
  if (table == nullptr) return toml_text(pattern) == toml_text(value);
  if (pattern.is_string()) {
    const toml::node* plugin = table->get("plugin");
    return plugin != nullptr && toml_text(*plugin) == toml_text(pattern);
  }
  if (!pattern.is_table()) return false;
  const toml::table& wanted = *pattern.as_table();
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
    const toml::node* given = table->get(entry.first.str());
    return given != nullptr && matches(entry.second, *given);
  });
}

/// What an `exclude` entry says: axis by axis the value that it means.
using Pattern = std::vector<std::pair<std::size_t, const toml::node*>>;

void collect_pattern(const toml::table& entry, const std::string& prefix, const std::vector<Axis>& axes,
                     Pattern& pattern) {
  std::vector<std::string> names;
  names.reserve(axes.size());
  for (const auto& axis : axes) names.push_back(axis.path);
  for (const auto& [key, node] : entry) {
    const std::string path = prefix + std::string(key.str());
    const auto found = std::find(names.begin(), names.end(), path);
    if (found != names.end()) {
      pattern.emplace_back(found - names.begin(), &node);
    } else if (node.is_table()) {
      collect_pattern(*node.as_table(), path + ".", axes, pattern);
    } else {
      refuse(where(key),
             "exclude names " + path + ", which [matrix] does not vary" + did_you_mean(path, names));
    }
  }
}

std::vector<Pattern> patterns_of(const toml::table& matrix, const std::vector<Axis>& axes) {
  std::vector<Pattern> patterns;
  const toml::node* exclude = matrix.get("exclude");
  if (exclude == nullptr) return patterns;
  const std::string form = "matrix.exclude must be a list of tables, as in [{ modulation = \"ogm_ge\" }].";
  if (!exclude->is_array()) refuse(where(*exclude), form);
  for (const auto& entry : *exclude->as_array()) {
    if (!entry.is_table() || entry.as_table()->empty()) refuse(where(entry), form);
    collect_pattern(*entry.as_table(), "", axes, patterns.emplace_back());
  }
  return patterns;
}

/// Counts through all combinations, the last axis fastest. False after the last one.
bool advance(std::vector<std::size_t>& cell, const std::vector<Axis>& axes) {
  for (std::size_t i = axes.size(); i-- > 0;) {
    if (++cell[i] < axes[i].values->size()) return true;
    cell[i] = 0;
  }
  return false;
}

bool is_excluded(const std::vector<std::size_t>& cell, const std::vector<Axis>& axes,
                 const std::vector<Pattern>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& pattern) {
    return std::all_of(pattern.begin(), pattern.end(), [&](const auto& part) {
      return matches(*part.second, *axes[part.first].values->get(cell[part.first]));
    });
  });
}

void check_settings(const std::vector<std::string>& settings, const std::vector<Axis>& axes) {
  for (const auto& setting : settings) {
    const toml::table table = read_setting(setting);
    for (const auto& axis : axes) {
      if (!toml::at_path(table, axis.path)) continue;
      refuse("--set " + setting, "[matrix] varies " + axis.path + " (" + where(*axis.values) +
                                     "), so change its values there, or with --set matrix." + axis.path +
                                     "=[...].");
    }
  }
}

/// The table [matrix], the tables of [[matrix]], or none.
std::vector<toml::table*> matrices_of(toml::table& base) {
  toml::node* node = base.get("matrix");
  if (node == nullptr) return {};
  if (node->is_table()) return {node->as_table()};
  std::vector<toml::table*> matrices;
  if (toml::array* list = node->as_array()) {
    for (toml::node& element : *list) {
      if (element.is_table()) matrices.push_back(element.as_table());
    }
    if (!list->empty() && matrices.size() == list->size()) return matrices;
  }
  refuse(where(*node), "matrix must be a table, or a list of tables.");
}

/// Puts each axis' value into the base. A whole table comes before an option inside it: modulation before
/// modulation.alpha.
void place_values(toml::table& base, const std::vector<Axis>& axes, const std::vector<std::size_t>& values) {
  std::vector<std::size_t> order(axes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto depth = [&](std::size_t i) { return std::count(axes[i].path.begin(), axes[i].path.end(), '.'); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return depth(a) < depth(b); });
  for (const std::size_t i : order) {
    place(base, axes[i].path, std::move(*axes[i].values->get(values[i])));
  }
}

}  // namespace

Matrix::Matrix(std::filesystem::path file, std::vector<std::string> settings)
    : file_(std::move(file)), settings_(std::move(settings)) {
  Document document = read_document(file_, settings_);
  for (toml::table* matrix : matrices_of(document.table)) {
    const std::vector<Axis> axes = axes_of(*matrix, document.sources);
    check_settings(settings_, axes);
    const std::vector<Pattern> patterns = patterns_of(*matrix, axes);
    const std::size_t before = cells_.size();
    std::vector<std::size_t> values(axes.size(), 0);
    do {
      if (!is_excluded(values, axes, patterns)) cells_.push_back({axes_.size(), values});
    } while (advance(values, axes));
    if (cells_.size() == before) refuse(where(*matrix), "exclude drops every run of [matrix].");
    std::vector<std::string>& paths = axes_.emplace_back();
    for (const auto& axis : axes) paths.push_back(axis.path);
  }
  if (axes_.empty()) {
    axes_.emplace_back();
    cells_.emplace_back();
  }
}

toml::table Matrix::cell(std::size_t index) const {
  const Place& chosen = cells_[index];
  Document document = read_document(file_, settings_);
  toml::table& base = document.table;
  const std::vector<toml::table*> matrices = matrices_of(base);
  toml::table matrix;
  if (!matrices.empty()) matrix = std::move(*matrices[chosen.matrix]);
  base.erase("matrix");
  place_values(base, axes_of(matrix, document.sources), chosen.values);
  return std::move(base);
}

}  // namespace poise
