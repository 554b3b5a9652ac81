#include "pipeline/pipeline.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "pipeline/document.h"
#include "pipeline/matrix.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/suggest.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// What stands in a pipeline beside the tables of its runs.
struct Heading {
  std::string title;
  std::vector<fs::path> plugin_path;
  bool alone = true;
};

/// The folders of plugin_path, each relative to the file that names it.
std::vector<fs::path> plugin_path(Config& root, const toml::table& table) {
  std::vector<fs::path> folders;
  const auto names = root.texts("plugin_path", {}, "folders of plugins");
  for (std::size_t i = 0; i < names.size(); ++i) {
    folders.push_back(folder_of(*table.get("plugin_path")->as_array()->get(i)) / names[i]);
  }
  return folders;
}

Heading read_heading(const fs::path& file, const std::vector<std::string>& settings) {
  const auto table = std::make_shared<toml::table>(read_document(file, settings).table);
  const std::vector<std::string> known = {"title",  "plugin_path", "seed",  "dataset", "encoder",
                                          "fusion", "modulation",  "train", "matrix",  "analysis"};
  for (const auto& [key, node] : *table) {
    const std::string name(key.str());
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw Error(where(key) + ": unknown key " + name + did_you_mean(name, known), Fault::usage);
  }
  Config root = make_config(table, "");
  Heading heading;
  heading.title = root.text("title", file.stem().string(), "title of the report");
  heading.plugin_path = plugin_path(root, *table);
  Config analysis = root.table("analysis");
  heading.alone = analysis.boolean("alone", true, "train each modality alone, too");
  analysis.finish();
  return heading;
}

/// A cell's tables without what is read once for all.
toml::table cell_table(const Matrix& matrix, std::size_t index) {
  toml::table table = matrix.cell(index);
  for (const char* key : {"title", "plugin_path", "analysis"}) table.erase(key);
  return table;
}

bool needs_teachers(const Cell& cell) {
  const int k = static_cast<int>(cell.modalities.size());
  return cell.plugins.modulation.call([&](const Modulation& m) { return m.requirements(k).teachers; });
}

class CellList {
 public:
  CellList(const Matrix& matrix, const Catalog& catalog) : matrix_(matrix), catalog_(catalog) {}

  void add_all() {
    for (std::size_t i = 0; i < matrix_.size(); ++i) {
      Cell cell = make_cell(cell_table(matrix_, i), matrix_.axes(i), "", catalog_);
      if (!labels_.insert(cell.label.run).second) {
        throw Error("[matrix] has the run '" + cell.label.run + "' twice.", Fault::usage);
      }
      cells_.push_back(std::move(cell));
    }
  }

  /// The runs that train a modality alone: those of all cells, or of the cells that need teachers.
  void add_alone(bool all) {
    for (std::size_t i = 0; i < matrix_.size(); ++i) {
      const std::vector<std::string> modalities = cells_[i].modalities;
      const bool taught = needs_teachers(cells_[i]);
      if (modalities.size() < 2 || !(all || taught)) continue;
      for (const auto& modality : modalities) {
        toml::table table = cell_table(matrix_, i);
        keep_alone(table, modality);
        Cell cell = make_cell(table, matrix_.axes(i), modality, catalog_);
        const auto [first, is_new] = alone_.try_emplace(cell.label.run, std::move(table));
        if (is_new) cells_.push_back(std::move(cell));
        if (taught)
          cells_[i].teachers.push_back(make_cell(first->second, matrix_.axes(i), modality, catalog_));
      }
    }
  }

  std::vector<Cell> take() { return std::move(cells_); }

 private:
  const Matrix& matrix_;
  const Catalog& catalog_;
  std::vector<Cell> cells_;
  std::set<std::string> labels_;
  std::map<std::string, toml::table> alone_;  ///< tables of the runs of one modality, by label
};

}  // namespace

Pipeline read_pipeline(const fs::path& file, const std::vector<std::string>& settings,
                       const std::vector<fs::path>& plugin_folders) {
  const Heading heading = read_heading(file, settings);
  const Matrix matrix(file, settings);
  const Catalog catalog(search_folders(plugin_folders, heading.plugin_path));
  CellList cells(matrix, catalog);
  cells.add_all();
  cells.add_alone(heading.alone);
  return {heading.title, cells.take()};
}

}  // namespace poise
