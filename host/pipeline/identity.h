#pragma once

#include <map>
#include <string>
#include <vector>

#include <toml++/toml.h>
#include <nlohmann/json.hpp>

#include "pipeline/cell.h"
#include "pipeline/hash_cache.h"

namespace poise {

/// What a run is: the same hash, the same bits.
struct RunIdentity {
  /// Of all that can change the run's bits: its configuration, host, SDK, LibTorch and plugins, the data, the
  /// device and the number of threads. Titles, labels and places of files are not among them.
  std::string hash;
  std::vector<std::string> teachers;  ///< hashes of the runs that must be finished before, per modality
  toml::table provenance;             ///< versions and hashes, data, machine; what provenance.toml says
};

/// Identifies runs. Hashes of files are cached; the data of a data set are looked at once.
class Identifier {
 public:
  Identifier(std::string device, int threads, HashCache cache = HashCache());

  /// Throws Error when there is no data, or a file cannot be read.
  RunIdentity identify(const Cell& cell);
  /// Keeps the hashes for the next process.
  void save() { cache_.save(); }

 private:
  toml::table provenance(const Cell& cell);
  const DataFingerprint& data_of(const Cell& cell);
  std::string decisive_config(const Cell& cell);

  std::string device_;
  int threads_;
  HashCache cache_;
  std::map<std::string, DataFingerprint> data_;  ///< by the dataset's table
};

/// A table as JSON, keys and all.
nlohmann::json to_json(const toml::table& table);

}  // namespace poise
