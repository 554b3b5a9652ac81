// Which samples a dataset gives: the same for an id wherever and whenever it is asked for, and none in two splits.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <unordered_map>

#include <ATen/ATen.h>

#include "poise/files.h"
#include "prepared_data.h"

namespace poise::conformance {
namespace {

constexpr const char* no_repeat = "a repeated fetch gives other samples, see stable_ids";

Finding stable_ids(const Data& data, const Subject& /*subject*/) {
  for (const auto split : data.splits) {
    const auto ids = data.spread(split, 12);
    const auto batch = data.fetch(split, ids);
    if (!same_samples(data.fetch(split, ids), batch))
      return failed("the same ids and seed give other samples");
    const auto reversed = data.fetch(split, ids.flip(0));
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      if (same_sample(batch, i, reversed, batch.size() - 1 - i)) continue;
      return failed(text("sample ", ids[i].item<std::int64_t>(), " of ", name(split),
                         " depends on its place in the batch"));
    }
    const auto alone = data.fetch(split, ids.narrow(0, 0, 1));
    if (!same_sample(batch, 0, alone, 0)) return failed("a sample depends on the others of its batch");
  }
  return passed();
}

Finding parallel_fetch_equals_serial(const Data& data, const Subject& /*subject*/) {
  if (!data.repeats()) return skipped(no_repeat);
  constexpr std::size_t threads = 4;
  const Split split = data.splits.front();
  const auto all = data.spread(split, 24);
  std::vector<torch::Tensor> ids;
  std::vector<Batch> serial;
  for (std::size_t t = 0; t < threads; ++t) {
    ids.push_back(all.roll(static_cast<std::int64_t>(t)));
    serial.push_back(data.fetch(split, ids.back()));
  }
  std::vector<std::string> faults(threads);
  {
    std::vector<std::jthread> running;
    for (std::size_t t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        try {
          for (int round = 0; round < 8 && faults[t].empty(); ++round) {
            if (!same_samples(data.fetch(split, ids[t]), serial[t])) faults[t] = "gives other samples";
          }
        } catch (const std::exception& error) {
          faults[t] = error.what();
        }
      });
    }
  }
  for (const auto& fault : faults) {
    if (!fault.empty()) return failed("fetch() by four threads at once: " + fault);
  }
  return passed();
}

/// SHA-256 of all inputs of a row.
std::string hash_of(const Batch& batch, std::int64_t row) {
  std::string bytes;
  for (std::size_t m = 0; m < batch.inputs.size(); ++m) {
    const auto input = input_of(batch, m, row).contiguous();
    if (input.numel() > 0) bytes.append(static_cast<const char*>(input.const_data_ptr()), input.nbytes());
  }
  return sha256(bytes);
}

Finding splits_share_no_sample(const Data& data, const Subject& /*subject*/) {
  std::unordered_map<std::string, std::pair<Split, std::int64_t>> seen;
  for (const auto split : data.splits) {
    for (const auto& ids : data.pieces(split, 2048)) {
      const auto batch = data.fetch(split, ids);
      for (std::int64_t row = 0; row < batch.size(); ++row) {
        const auto id = ids[row].item<std::int64_t>();
        const auto [other, other_id] = seen.try_emplace(hash_of(batch, row), split, id).first->second;
        if (other == split) continue;
        return failed(text("sample ", id, " of ", name(split), " has all inputs of sample ", other_id, " of ",
                           name(other)));
      }
    }
  }
  return passed();
}

Finding generator_untouched(const Data& data, const Subject& /*subject*/) {
  const auto before = generator_state();
  for (const auto split : data.splits) static_cast<void>(data.fetch(split, data.spread(split, 4)));
  return same_bits(generator_state(), before) ? passed()
                                              : failed("fetch() draws from, or seeds, the default generator");
}

Finding modalities_in_order(const Data& data, const Subject& subject) {
  if (data.modalities.size() < 2) return skipped("it has one modality");
  if (!data.repeats()) return skipped(no_repeat);
  const Data reversed = prepared(subject, true);
  const Split split = data.splits.front();
  const auto ids = data.spread(split, 8);
  const auto batch = data.fetch(split, ids);
  auto other = reversed.fetch(split, ids);
  std::reverse(other.inputs.begin(), other.inputs.end());
  std::reverse(other.lengths.begin(), other.lengths.end());
  if (same_samples(other, batch)) return passed();
  return failed("asked for its modalities in the reverse order, it does not deliver the same inputs so");
}

}  // namespace

Tensors dataset_result(const Subject& subject) {
  const Data data = prepared(subject);
  if (!data.absent.empty()) return {};
  Tensors result;
  const bool whole = data.repeats();
  for (const auto split : data.splits) {
    const auto batch = data.fetch(split, data.spread(split, 16));
    result.push_back(batch.targets);
    if (whole) result.insert(result.end(), batch.inputs.begin(), batch.inputs.end());
  }
  return result;
}

std::vector<Check> dataset_sample_checks() {
  return {
      {"stable_ids", "An id and a seed give the same sample, in any batch.", &on_data<stable_ids>},
      {"parallel_fetch_equals_serial", "fetch() gives the same from several threads at once.",
       &on_data<parallel_fetch_equals_serial>},
      {"splits_share_no_sample", "No sample of one split has all the inputs of one in another.",
       &on_data<splits_share_no_sample>},
      {"generator_untouched", "fetch() does not draw from the default generator.",
       &on_data<generator_untouched>},
      {"modalities_in_order", "The modalities asked for are delivered, in that order.",
       &on_data<modalities_in_order>},
  };
}

}  // namespace poise::conformance
