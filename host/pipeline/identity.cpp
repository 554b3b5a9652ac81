#include "pipeline/identity.h"

#include <link.h>
#include <sys/utsname.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include <torch/version.h>

#include "pipeline/toml_text.h"
#include "poise/identity.h"

namespace poise {
namespace {

namespace fs = std::filesystem;

/// The files of the libraries in this process whose names begin with `beginning`, by name.
std::map<std::string, fs::path> loaded_libraries(const std::string& beginning) {
  using Search = std::pair<std::string, std::map<std::string, fs::path>>;
  Search search{beginning, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* library, std::size_t, void* data) {
        auto& [begin, found] = *static_cast<Search*>(data);
        const fs::path file = library->dlpi_name;
        if (file.filename().string().starts_with(begin))
          found[file.filename().string()] = fs::canonical(file);
        return 0;
      },
      &search);
  return search.second;
}

/// "Intel(R) Xeon(R) ...", or "" where the system does not say.
std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "";
}

std::string operating_system() {
  utsname name{};
  ::uname(&name);
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

}  // namespace

Identifier::Identifier(std::string device, int threads, HashCache cache)
    : device_(std::move(device)), threads_(threads), cache_(std::move(cache)) {}

const DataFingerprint& Identifier::data_of(const Cell& cell) {
  const std::string key = toml_text(*cell.config.get("dataset"));
  const auto found = data_.find(key);
  if (found != data_.end()) return found->second;
  const auto files = cell.plugins.dataset.call([](const Dataset& dataset) { return dataset.files(); });
  return data_[key] = cache_.of_data(files);
}

toml::table Identifier::provenance(const Cell& cell) {
  toml::table table;
  table.insert("host", toml::table{{"version", POISE_VERSION}, {"sha256", cache_.of_file("/proc/self/exe")}});
  toml::table sdk{{"version", POISE_SDK_VERSION}};
  for (const auto& [name, file] : loaded_libraries("libpoise_sdk"))
    sdk.insert("sha256", cache_.of_file(file));
  table.insert("sdk", std::move(sdk));

  toml::table torch{{"version", TORCH_VERSION}, {"variant", POISE_TORCH_VARIANT}};
  for (const char* beginning : {"libtorch", "libc10"}) {
    for (const auto& [name, file] : loaded_libraries(beginning)) {
      torch.insert(fs::path(name).stem().string() + "_sha256", cache_.of_file(file));
    }
  }
  table.insert("torch", std::move(torch));

  toml::table plugins;
  for (const auto& [kind, plugin] : cell.used_plugins()) {
    plugins.insert(
        plugin.name,
        toml::table{{"kind", kind}, {"version", plugin.version}, {"sha256", cache_.of_file(plugin.file)}});
  }
  table.insert("plugins", std::move(plugins));

  const DataFingerprint& data = data_of(cell);
  table.insert("data", toml::table{{"files", static_cast<std::int64_t>(data.files)},
                                   {"bytes", static_cast<std::int64_t>(data.bytes)},
                                   {"fingerprint", data.sha256}});
  table.insert("machine", toml::table{{"device", device_},
                                      {"threads", threads_},
                                      {"processor", processor()},
                                      {"system", operating_system()}});
  return table;
}

/// The configuration without the places of files: each is told by its content, of a folder of the data set its
/// fingerprint tells.
std::string Identifier::decisive_config(const Cell& cell) {
  toml::table config = cell.config;
  for (const auto& key : cell.path_keys) {
    const auto dot = key.rfind('.');
    toml::table& holder = *toml::at_path(config, key.substr(0, dot)).as_table();
    const std::string name = key.substr(dot + 1);
    const fs::path path = holder[name].value_or(std::string());
    if (fs::is_regular_file(path)) {
      const bool is_data = key.starts_with("dataset.");
      holder.insert_or_assign(name, is_data ? cache_.of_data({path}).sha256 : cache_.of_file(path));
    } else if (key.starts_with("dataset.")) {
      holder.erase(name);
    }
  }
  return toml_text(config);
}

RunIdentity Identifier::identify(const Cell& cell) {
  RunIdentity identity;
  identity.provenance = provenance(cell);
  toml::table decisive = identity.provenance;
  toml::table& machine = *decisive["machine"].as_table();
  machine.erase("processor");
  machine.erase("system");
  decisive.insert("config", decisive_config(cell));
  for (const auto& teacher : cell.teachers) {
    identity.teachers.push_back(identify(teacher).hash);
    decisive.insert("teacher_" + teacher.alone, identity.teachers.back());
  }
  identity.hash = sha256(toml_text(decisive));
  return identity;
}

nlohmann::json to_json(const toml::table& table) {
  std::ostringstream text;
  text << toml::json_formatter(table);
  return nlohmann::json::parse(text.str());
}

}  // namespace poise
