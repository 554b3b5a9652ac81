#include "parallel.h"

#include <algorithm>
#include <future>
#include <vector>

namespace av_digits {

void in_parallel(std::int64_t count, int threads,
                 const std::function<void(std::int64_t begin, std::int64_t end)>& work) {
  const std::int64_t ranges = std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(count, 1));
  std::vector<std::future<void>> running;
  for (std::int64_t i = 0; i < ranges; ++i) {
    running.push_back(std::async(std::launch::async, work, count * i / ranges, count * (i + 1) / ranges));
  }
  for (auto& range : running) range.wait();
  for (auto& range : running) range.get();
}

}  // namespace av_digits
