#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "poise/dataset.h"
#include "training/plugin_call.h"

namespace poise {

/// First and one-past-last row of each batch over `samples`. A last batch of one sample joins the one before
/// it: BatchNorm cannot train on one row.
std::vector<std::pair<std::int64_t, std::int64_t>> batch_bounds(std::int64_t samples,
                                                                std::int64_t batch_size);

/// The batches of one pass over `ids`, in order, fetched ahead by threads of its own: what arrives does not
/// depend on how many there are.
class BatchStream {
 public:
  struct Source {
    const Loaded<Dataset>* dataset;
    Split split;
    torch::Tensor ids;  ///< [N] int64
    std::uint64_t seed = 0;
    std::int64_t batch_size = 0;
    std::int64_t threads = 1;
    std::int64_t first_batch = 0;  ///< where to begin: a resumed pass
    torch::Device device = torch::kCPU;
  };

  explicit BatchStream(Source source);
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The next batch, on the device; nothing at the end. Throws what the dataset threw for it.
  std::optional<Batch> next();

 private:
  struct Fetched {
    Batch batch;
    std::exception_ptr error;
  };

  void fetch_ahead();
  Batch fetch(std::size_t index) const;

  Source source_;
  std::vector<std::pair<std::int64_t, std::int64_t>> bounds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, Fetched> ready_;
  std::size_t next_to_fetch_;
  std::size_t next_to_give_;
  bool stopped_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace poise
