#include "small_models.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "gates_fusion.h"

namespace poise::reference {

using torch::Tensor;

namespace {

constexpr std::int64_t channels = 2, side = 5, columns = 6, hidden = 5, classes = 3;

/// feature = tanh(W mean(tanh([BN] conv(x))) + b) of images, tanh(W tanh([BN] linear(x)) + b) of vectors.
class SmallEncoder final : public Encoder {
 public:
  explicit SmallEncoder(const Design& design) : convolutions_(design.convolutions), norm_(design.norm) {}

  void build(const Modality& /*modality*/) override {
    if (convolutions_) {
      convolution_ = register_module(
          "convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, hidden, 3).bias(!norm_)));
      if (norm_) maps_norm_ = register_module("norm", torch::nn::BatchNorm2d(hidden));
    } else {
      linear_ = register_module("linear",
                                torch::nn::Linear(torch::nn::LinearOptions(columns, hidden).bias(!norm_)));
      if (norm_) rows_norm_ = register_module("norm", torch::nn::BatchNorm1d(hidden));
    }
    output_ = register_module("output", torch::nn::Linear(hidden, hidden));
  }

  [[nodiscard]] std::int64_t width() const override { return hidden; }

  Tensor forward(const Tensor& input, const Tensor& /*lengths*/) override {
    Tensor x = convolutions_ ? convolution_(input) : linear_(input);
    if (norm_) x = convolutions_ ? maps_norm_(x) : rows_norm_(x);
    x = at::tanh(x);
    if (convolutions_) x = x.flatten(2).mean(2);
    return at::tanh(output_(x));
  }

  [[nodiscard]] bool modes_agree() const override { return !norm_; }
  [[nodiscard]] bool constant_when_absent() const override { return true; }

 private:
  bool convolutions_;
  bool norm_;
  torch::nn::Conv2d convolution_{nullptr};
  torch::nn::BatchNorm2d maps_norm_{nullptr};
  torch::nn::Linear linear_{nullptr};
  torch::nn::BatchNorm1d rows_norm_{nullptr};
  torch::nn::Linear output_{nullptr};
};

/// W_m of each modality, one parameter each.
std::vector<Tensor> weights_of(const FusionSpec& spec, std::int64_t rows) {
  std::vector<Tensor> weights;
  for (const auto width : spec.widths) weights.push_back(at::randn({rows, width}, at::kFloat) * 0.5);
  return weights;
}

/// z = sum_m f_m W_m^T + b
class SharesFusion final : public Fusion {
 public:
  void build(const FusionSpec& spec) override {
    const auto weights = weights_of(spec, spec.task.outputs);
    for (std::size_t m = 0; m < weights.size(); ++m) {
      weights_.push_back(register_parameter("weight_" + spec.modalities[m], weights[m]));
      set_role(weights_.back(), Role::head, {static_cast<int>(m)});
    }
    bias_ = register_parameter("bias", at::randn({spec.task.outputs}, at::kFloat) * 0.1);
    set_role(bias_, Role::head);
  }

  FusionOutput forward(const std::vector<Tensor>& features, const std::vector<Tensor>& /*lengths*/) override {
    Tensor z = bias_;
    for (std::size_t m = 0; m < features.size(); ++m) z = z + at::matmul(features[m], weights_[m].t());
    return {z, at::cat(features, 1)};
  }

  [[nodiscard]] bool modes_agree() const override { return true; }
  [[nodiscard]] bool additive() const override { return true; }

  Tensor share(int modality, const Tensor& feature) override {
    return at::matmul(feature, weights_[static_cast<std::size_t>(modality)].t()) +
           bias_ / static_cast<double>(weights_.size());
  }

 private:
  std::vector<Tensor> weights_;
  Tensor bias_;
};

/// z = W dropout(tanh(BN(sum_m f_m V_m^T))) + b
class HiddenFusion final : public Fusion {
 public:
  void build(const FusionSpec& spec) override {
    const auto weights = weights_of(spec, hidden);
    for (std::size_t m = 0; m < weights.size(); ++m) {
      weights_.push_back(register_parameter("hidden_" + spec.modalities[m], weights[m]));
      set_role(weights_.back(), Role::bypass, {static_cast<int>(m)});
    }
    norm_ = register_module("norm", torch::nn::BatchNorm1d(hidden));
    dropout_ = register_module("dropout", torch::nn::Dropout(0.3));
    head_ = register_module("head", torch::nn::Linear(hidden, spec.task.outputs));
    set_role(head_->weight, Role::head);
    set_role(head_->bias, Role::head);
  }

  FusionOutput forward(const std::vector<Tensor>& features, const std::vector<Tensor>& /*lengths*/) override {
    Tensor x = at::matmul(features[0], weights_[0].t());
    for (std::size_t m = 1; m < features.size(); ++m) x = x + at::matmul(features[m], weights_[m].t());
    x = dropout_(at::tanh(norm_(x)));
    return {head_(x), x};
  }

 private:
  std::vector<Tensor> weights_;
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
  torch::nn::Linear head_{nullptr};
};

std::vector<std::int64_t> shape_of(const Design& design) {
  return design.convolutions ? std::vector<std::int64_t>{channels, side, side}
                             : std::vector<std::int64_t>{columns};
}

}  // namespace

std::string described(const Design& design) {
  const std::string count =
      std::to_string(design.modalities) + (design.modalities == 1 ? " modality, " : " modalities, ");
  if (design.gates) return count + "fusion with gates inside convolutional encoders";
  return count + (design.additive ? "additive fusion, " : "fusion with a hidden layer, ") +
         (design.convolutions ? "convolutional" : "linear") + " encoders" +
         (design.norm ? " with BatchNorm" : "");
}

Network make_network(const Design& design, std::uint64_t seed) {
  torch::manual_seed(seed);
  std::vector<Modality> modalities;
  std::vector<std::shared_ptr<Encoder>> encoders;
  for (int m = 0; m < design.modalities; ++m) {
    Modality modality;
    modality.name = "m" + std::to_string(m);
    modality.shape = shape_of(design);
    modalities.push_back(modality);
    if (design.gates) {
      encoders.push_back(std::make_shared<StagedImages>(hidden));
    } else {
      encoders.push_back(std::make_shared<SmallEncoder>(design));
    }
  }
  std::shared_ptr<Fusion> fusion;
  if (design.gates) {
    fusion = std::make_shared<GatesFusion>();
  } else if (design.additive) {
    fusion = std::make_shared<SharesFusion>();
  } else {
    fusion = std::make_shared<HiddenFusion>();
  }
  Task task;
  task.kind = design.task;
  task.outputs = classes;
  Network network(modalities, encoders, fusion, task);
  network.convert(design.dtype);
  return network;
}

Batch make_data(const Design& design, std::int64_t rows, std::uint64_t seed) {
  torch::manual_seed(seed);
  Batch data;
  data.ids = at::arange(rows, at::kLong);
  for (int m = 0; m < design.modalities; ++m) {
    auto sizes = shape_of(design);
    sizes.insert(sizes.begin(), rows);
    data.inputs.push_back(at::randn(sizes, design.dtype));
  }
  data.lengths.resize(data.inputs.size());
  switch (design.task) {
    case TaskKind::classification: data.targets = at::arange(rows, at::kLong).remainder(classes); break;
    case TaskKind::multi_label:
      data.targets = at::randn({rows, classes}, at::kFloat).gt(0).to(at::kFloat);
      break;
    case TaskKind::regression: data.targets = at::randn({rows, classes}, at::kFloat); break;
  }
  return data;
}

Batch take(const Batch& data, const Tensor& ids) {
  Batch batch;
  batch.ids = ids;
  for (const auto& input : data.inputs) batch.inputs.push_back(input.index_select(0, ids));
  for (const auto& lengths : data.lengths) {
    batch.lengths.push_back(lengths.defined() ? lengths.index_select(0, ids) : Tensor());
  }
  batch.targets = data.targets.index_select(0, ids);
  return batch;
}

void StagedImages::build(const Modality& modality) {
  std::int64_t before = modality.shape.at(0);
  for (const auto after : stage_channels()) {
    kernels_.push_back(register_parameter("kernel" + std::to_string(kernels_.size()),
                                          at::randn({after, before, 3, 3}, at::kFloat) * 0.3));
    before = after;
  }
  projection_ = register_parameter("projection", at::randn({width_, before}, at::kFloat) * 0.5);
}

Tensor StagedImages::stage(std::size_t index, const Tensor& x) {
  return at::tanh(at::conv2d(x, kernels_.at(index), {}, 1, 1));
}

Tensor StagedImages::pool(const Tensor& x) { return at::matmul(x.flatten(2).mean(2), projection_.t()); }

Tensor StagedImages::forward(const Tensor& input, const Tensor& /*lengths*/) {
  Tensor x = input;
  for (std::size_t i = 0; i < kernels_.size(); ++i) x = stage(i, x);
  return pool(x);
}

}  // namespace poise::reference
