#include "pipeline/cell.h"

#include <algorithm>
#include <memory>

#include "plugins/loader.h"
#include "poise/config_toml.h"
#include "poise/error.h"
#include "poise/joint_training.h"
#include "poise/suggest.h"

namespace poise {
namespace {

/// What a run is made from, while it is made.
struct Maker {
  std::shared_ptr<toml::table> table;
  Config root;
  const Catalog& catalog;
  Cell cell;

  Maker(toml::table t, const Catalog& c)
      : table(std::make_shared<toml::table>(std::move(t))), root(make_config(table, "")), catalog(c) {}

  template <class Interface>
  Loaded<Interface> construct(const std::string& dotted, Config& config);
  void remember_paths(const std::string& dotted, Config& config);
  void choose_modalities(Config& dataset);
  void make_encoders();

  std::vector<std::string> all_modalities;  ///< of the dataset
};

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return text;
}

/// The table's plugin, constructed from it. `dotted` is the table's path in the pipeline.
template <class Interface>
Loaded<Interface> Maker::construct(const std::string& dotted, Config& config) {
  const std::string name =
      config.text("plugin", required, "name of the " + std::string(kind_of<Interface>()));
  const Entry* entry = nullptr;
  try {
    entry = &catalog.find(kind_of<Interface>(), name);
  } catch (const Error& error) {
    const std::string position = where(*toml::at_path(*table, dotted + ".plugin").node());
    throw Error((position.empty() ? "" : position + ": ") + error.what(), error.fault());
  }
  auto loaded = load<Interface>(*entry, config);
  remember_paths(dotted, config);
  return loaded;
}

/// Relative paths are meant relative to the file that names them, which the resolved table does not tell.
void Maker::remember_paths(const std::string& dotted, Config& config) {
  const std::vector<Option> options = config.options();
  for (const auto& option : options) {
    if (option.type != "path") continue;
    const std::string key = dotted + "." + option.key;
    auto* value = toml::at_path(*table, key).as_string();
    if (value == nullptr) continue;
    cell.path_keys.push_back(key);
    const std::filesystem::path path = value->get();
    if (!path.empty())
      *value = std::filesystem::absolute(folder_of(*value) / path).lexically_normal().string();
  }
}

/// All of the dataset's modalities, or those that dataset.modalities names, in its order.
void Maker::choose_modalities(Config& dataset) {
  std::vector<std::string>& all = all_modalities;
  for (const auto& modality : cell.plugins.dataset.call([](const Dataset& d) { return d.modalities(); })) {
    all.push_back(modality.name);
    if (modality.name.empty() || modality.name.find('.') != std::string::npos) {
      throw Error("dataset " + cell.plugins.dataset.name.name + " names a modality '" + modality.name +
                      "': a name must not be empty or have a dot in it.",
                  Fault::usage);
    }
  }
  const auto asked = dataset.texts("modalities", all, "which modalities are used, in this order");
  if (asked.empty()) dataset.fail("modalities", "dataset.modalities is empty, but a run needs a modality.");
  for (const auto& name : asked) {
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) {
      const std::string hint = did_you_mean(name, all);
      dataset.fail("modalities", "dataset.modalities names '" + name + "', but " +
                                     cell.plugins.dataset.name.name + " has " + listed(all) +
                                     (hint.empty() ? "." : hint));
    }
    const int index = static_cast<int>(found - all.begin());
    if (std::find(cell.plugins.modalities.begin(), cell.plugins.modalities.end(), index) !=
        cell.plugins.modalities.end()) {
      dataset.fail("modalities", "dataset.modalities names '" + name + "' twice.");
    }
    cell.plugins.modalities.push_back(index);
    cell.modalities.push_back(name);
  }
}

void Maker::make_encoders() {
  Config encoders = root.table("encoder");
  for (const auto& name : cell.modalities) {
    if (!encoders.has(name)) {
      encoders.fail(name, "[encoder." + name + "] is missing: every modality needs an encoder.");
    }
    Config encoder = encoders.table(name);
    cell.plugins.encoders.push_back(construct<Encoder>("encoder." + name, encoder));
  }
  // Tables of modalities that the dataset has and this run does not use are checked and forgotten.
  for (const auto& name : all_modalities) {
    const bool is_used =
        std::find(cell.modalities.begin(), cell.modalities.end(), name) != cell.modalities.end();
    if (is_used || !encoders.has(name)) continue;
    Config unused = encoders.table(name);
    construct<Encoder>("encoder." + name, unused);
  }
}

/// The parts of a table that decide the run: without encoders of modalities that it does not use.
toml::table resolved(toml::table& table, const std::vector<std::string>& modalities) {
  toml::table config = std::move(table);
  toml::table encoders;
  for (const auto& name : modalities) {
    encoders.insert_or_assign(name, std::move(*toml::at_path(config, "encoder." + name).node()));
  }
  config.insert_or_assign("encoder", std::move(encoders));
  return config;
}

void train_jointly(toml::table& table) {
  table.insert_or_assign("modulation", toml::table{{"plugin", joint_training}});
}

}  // namespace

Cell make_cell(toml::table table, const std::vector<std::string>& axes, const std::string& alone,
               const Catalog& catalog) {
  if (!table.contains("modulation")) train_jointly(table);
  if (!table.contains("seed")) table.insert("seed", 0);
  Maker maker(std::move(table), catalog);
  Cell& cell = maker.cell;
  Config& root = maker.root;
  for (const char* name : {"dataset", "encoder", "fusion"}) {
    if (!root.has(name)) root.fail(name, "[" + std::string(name) + "] is missing.");
  }

  Config dataset = root.table("dataset");
  cell.plugins.dataset = maker.construct<Dataset>("dataset", dataset);
  maker.choose_modalities(dataset);
  maker.make_encoders();
  Config fusion = root.table("fusion");
  cell.plugins.fusion = maker.construct<Fusion>("fusion", fusion);
  Config modulation = root.table("modulation");
  cell.plugins.modulation = maker.construct<Modulation>("modulation", modulation);
  Config train = root.table("train");
  cell.train = TrainSettings::read(train);
  cell.seed = static_cast<std::uint64_t>(root.integer("seed", 0, {.min = 0}, "seed of every random number"));
  root.finish();

  cell.alone = alone;
  cell.label = make_label({*maker.table, axes, modulation.options(), fusion.options(), alone});
  try {
    check_requirements(cell.plugins);
  } catch (const Error& error) {
    root.fail("modulation", "run '" + cell.label.run + "': " + error.what());
  }
  cell.config = resolved(*maker.table, cell.modalities);
  std::erase_if(cell.path_keys, [&](const auto& key) { return !toml::at_path(cell.config, key); });
  return std::move(cell);
}

void keep_alone(toml::table& table, const std::string& modality) {
  table["dataset"].as_table()->insert_or_assign("modalities", toml::array{modality});
  train_jointly(table);
}

std::vector<std::pair<std::string, PluginName>> Cell::used_plugins() const {
  std::vector<std::pair<std::string, PluginName>> used = {{"dataset", plugins.dataset.name}};
  for (const auto& encoder : plugins.encoders) {
    const bool seen = std::any_of(used.begin() + 1, used.end(), [&](const auto& plugin) {
      return plugin.second.name == encoder.name.name;
    });
    if (!seen) used.emplace_back("encoder", encoder.name);
  }
  used.emplace_back("fusion", plugins.fusion.name);
  used.emplace_back("modulation", plugins.modulation.name);
  return used;
}

}  // namespace poise
