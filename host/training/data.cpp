#include "training/data.h"

#include <string>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include "poise/error.h"

namespace poise {

std::uint64_t mixed(std::uint64_t seed, std::int64_t epoch, std::int64_t pass) {
  std::uint64_t x = seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(1 + epoch * 1024 + pass);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

Data::Data(const RunRequest& request, const RunPlugins& plugins) : request_(request), plugins_(plugins) {
  plugins_.dataset.call([&](Dataset& dataset) {
    dataset.build({.modalities = plugins_.modalities, .threads = at::get_num_threads()});
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      samples_.at(static_cast<std::size_t>(split)) = dataset.size(split);
    }
  });
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    const std::int64_t least = split == Split::train ? 2 : 1;
    if (samples(split) >= least) continue;
    throw Error("the " + std::string(name(split)) + " split of dataset " + plugins_.dataset.name.name +
                " has " + std::to_string(samples(split)) + " samples, but needs at least " +
                std::to_string(least) + ".");
  }
  epoch_steps_ =
      static_cast<std::int64_t>(batch_bounds(samples(Split::train), request_.train.batch_size).size());
}

BatchStream::Source Data::source(Split split) const {
  BatchStream::Source source{
      .dataset = &plugins_.dataset, .split = split, .ids = at::arange(samples(split), at::kLong)};
  source.batch_size = request_.train.batch_size;
  source.threads = request_.train.loader_threads;
  source.seed = request_.seed;
  source.device = torch::Device(request_.device);
  return source;
}

torch::Tensor Data::shuffled(std::int64_t epoch, std::int64_t pass) const {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(mixed(request_.seed, epoch, pass));
  return at::randperm(samples(Split::train), generator, at::kLong);
}

}  // namespace poise
