#include "training/batches.h"

#include <latch>

#include <ATen/Parallel.h>

namespace poise {

std::vector<std::pair<std::int64_t, std::int64_t>> batch_bounds(std::int64_t samples,
                                                                std::int64_t batch_size) {
  std::vector<std::pair<std::int64_t, std::int64_t>> bounds;
  for (std::int64_t begin = 0; begin < samples; begin += batch_size) {
    bounds.emplace_back(begin, std::min(begin + batch_size, samples));
  }
  if (bounds.size() > 1 && bounds.back().second - bounds.back().first == 1) {
    bounds.pop_back();
    bounds.back().second = samples;
  }
  return bounds;
}

BatchStream::BatchStream(Source source)
    : source_(std::move(source)),
      bounds_(batch_bounds(source_.ids.size(0), source_.batch_size)),
      next_to_fetch_(static_cast<std::size_t>(source_.first_batch)),
      next_to_give_(next_to_fetch_) {
  // A fetching thread must not open a team of its own beside the training's. LibTorch keeps the number of
  // threads per thread, but the default of new threads process-wide: it is put back once all have begun.
  const int training_threads = at::get_num_threads();
  std::latch begun(source_.threads);
  for (std::int64_t i = 0; i < source_.threads; ++i) {
    threads_.emplace_back([this, &begun] {
      at::set_num_threads(1);
      begun.count_down();
      fetch_ahead();
    });
  }
  begun.wait();
  at::set_num_threads(training_threads);
}

BatchStream::~BatchStream() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

Batch BatchStream::fetch(std::size_t index) const {
  const auto [begin, end] = bounds_[index];
  return source_.dataset->call([&, first = begin, last = end](const Dataset& dataset) {
    return dataset.fetch(source_.split, source_.ids.slice(0, first, last), source_.seed);
  });
}

void BatchStream::fetch_ahead() {
  const std::size_t ahead = static_cast<std::size_t>(source_.threads) * 2;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopped_ || next_to_fetch_ < next_to_give_ + ahead; });
    if (stopped_ || next_to_fetch_ >= bounds_.size()) return;
    const std::size_t index = next_to_fetch_++;
    lock.unlock();
    Fetched fetched;
    try {
      fetched.batch = fetch(index);
    } catch (...) {
      fetched.error = std::current_exception();
    }
    lock.lock();
    ready_[index] = std::move(fetched);
    changed_.notify_all();
  }
}

std::optional<Batch> BatchStream::next() {
  std::unique_lock lock(mutex_);
  if (next_to_give_ >= bounds_.size()) return std::nullopt;
  changed_.wait(lock, [&] { return ready_.contains(next_to_give_); });
  Fetched fetched = std::move(ready_.extract(next_to_give_).mapped());
  ++next_to_give_;
  changed_.notify_all();
  lock.unlock();
  if (fetched.error) std::rethrow_exception(fetched.error);
  Batch batch = std::move(fetched.batch);
  if (source_.device.is_cpu()) return batch;
  for (auto* tensors : {&batch.inputs, &batch.lengths}) {
    for (auto& tensor : *tensors) {
      if (tensor.defined()) tensor = tensor.to(source_.device, /*non_blocking=*/true);
    }
  }
  batch.ids = batch.ids.to(source_.device, true);
  batch.targets = batch.targets.to(source_.device, true);
  return batch;
}

}  // namespace poise
