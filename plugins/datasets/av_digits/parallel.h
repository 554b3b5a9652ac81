#pragma once

#include <cstdint>
#include <functional>

namespace av_digits {

/// Calls `work(begin, end)` on ranges that cover 0 to count - 1, on that many threads, and waits. Throws what
/// the first range that failed threw, so that the same file is named however many threads there are.
void in_parallel(std::int64_t count, int threads,
                 const std::function<void(std::int64_t begin, std::int64_t end)>& work);

}  // namespace av_digits
