#include "images.h"

#include <cmath>
#include <string>

#include <ATen/ops/linalg_eigh.h>
#include <poise/dataset.h>
#include <poise/error.h>

#include "idx.h"

namespace av_digits {
namespace {

constexpr std::int64_t side = 28;
constexpr std::int64_t pixels = side * side;

constexpr const char* names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                 "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

std::filesystem::path must_find(const std::filesystem::path& folder, const char* name) {
  auto path = find_idx(folder / name);
  if (path.empty()) {
    throw poise::Error("there is no " + (folder / name).string() + " and no " + name +
                           ".gz beside it: the images of av_digits are MNIST's four IDX files.",
                       poise::Fault::usage);
  }
  return path;
}

torch::Tensor read_label_file(const std::filesystem::path& path) {
  auto labels = read_idx(path, 1).to(torch::kLong);
  if (labels.numel() > 0 && labels.max().item<std::int64_t>() > 9) {
    throw poise::Error(path.string() + " is damaged: it holds the label " +
                       std::to_string(labels.max().item<std::int64_t>()) + ", and labels are 0 to 9.");
  }
  return labels;
}

torch::Tensor read_image_file(const std::filesystem::path& path, std::int64_t labels) {
  const auto images = read_idx(path, 3);
  if (images.size(1) != side || images.size(2) != side) {
    throw poise::Error(path.string() + " holds images of " + std::to_string(images.size(1)) + "x" +
                       std::to_string(images.size(2)) + " pixels, and av_digits needs 28x28.");
  }
  if (images.size(0) != labels) {
    throw poise::Error(path.string() + " holds " + std::to_string(images.size(0)) +
                       " images, and the file of labels beside it " + std::to_string(labels) +
                       " labels: they do not belong together.");
  }
  return images.view({-1, pixels});
}

}  // namespace

std::vector<std::filesystem::path> image_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const char* name : names) {
    if (auto path = find_idx(folder / name); !path.empty()) files.push_back(std::move(path));
  }
  return files;
}

ImageLabels read_labels(const std::filesystem::path& folder) {
  const auto train = read_label_file(must_find(folder, names[1]));
  const auto test = read_label_file(must_find(folder, names[3]));
  const std::int64_t n = train.size(0);
  ImageLabels result{torch::cat({train, test}), {0, n - n / 6, n, n + test.size(0)}};
  for (std::size_t s = 0; s < 3; ++s) {
    const auto count =
        torch::bincount(result.labels.slice(0, result.begin[s], result.begin[s + 1]), {}, 10).contiguous();
    for (int digit = 0; digit < 10; ++digit) {
      if (count.data_ptr<std::int64_t>()[digit] > 0) continue;
      throw poise::Error(folder.string() + " has no image of the digit " + std::to_string(digit) +
                         " in the " + poise::name(static_cast<poise::Split>(s)) +
                         " split (test: the t10k files; validation: the last sixth of the train files; "
                         "train: the rest).");
    }
  }
  return result;
}

torch::Tensor read_images(const std::filesystem::path& folder, const ImageLabels& labels) {
  return torch::cat({read_image_file(must_find(folder, names[0]), labels.begin[2]),
                     read_image_file(must_find(folder, names[2]), labels.begin[3] - labels.begin[2])});
}

Pca fit_pca(const torch::Tensor& train, double share) {
  const auto rows = train.to(torch::kDouble);
  Pca pca{rows.mean(0), {}};
  if (share >= 1) return pca;
  const auto centred = rows - pca.mean;
  const auto [rising, vectors] = at::linalg_eigh(centred.t().mm(centred) / rows.size(0));
  const auto cumulative = rising.flip(0).cumsum(0);
  // Components before the one that reaches the share, and that one.
  const auto below = (cumulative < share * cumulative[-1]).sum().item<std::int64_t>();
  pca.basis = vectors.flip(1).slice(1, 0, below + 1).contiguous();
  return pca;
}

torch::Tensor project(const Pca& pca, const torch::Tensor& rows) {
  auto exact = rows.to(torch::kDouble);
  if (!pca.basis.defined()) return exact;
  return pca.mean + (exact - pca.mean).mm(pca.basis).mm(pca.basis.t());
}

torch::Tensor image_features(const std::filesystem::path& folder, const ImageLabels& labels,
                             const torch::Tensor& wanted, double energy) {
  const auto images = read_images(folder, labels);
  const auto train = images.slice(0, 0, labels.begin[1]).to(torch::kDouble) / 255;
  const auto pca = fit_pca(train, energy);
  const auto kept = project(pca, train);
  const auto mean = kept.mean().item<double>();
  const auto deviation = kept.std(/*unbiased=*/false).item<double>();
  const auto rows = project(pca, images.index_select(0, wanted).to(torch::kDouble) / 255);
  // An image set of one colour has no deviation, and nothing to scale.
  return ((rows - mean) / (deviation > 0 ? deviation : 1)).to(torch::kHalf).view({-1, 1, side, side});
}

}  // namespace av_digits
