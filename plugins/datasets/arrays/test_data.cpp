#include "test_data.h"

#include <fstream>
#include <map>

namespace fs = std::filesystem;

void write_raw(const fs::path& path, const std::string& dictionary, const std::string& values, int version) {
  const std::size_t digits = version == 1 ? 2 : 4;
  std::string header = dictionary;
  while ((8 + digits + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (std::size_t i = 0; i < digits; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 255);
  std::ofstream(path, std::ios::binary) << bytes << header << values;
}

void write_npy(const fs::path& path, const torch::Tensor& values) {
  static const std::map<torch::ScalarType, std::string> descr = {
      {torch::kFloat, "<f4"}, {torch::kDouble, "<f8"}, {torch::kHalf, "<f2"},
      {torch::kByte, "|u1"},  {torch::kChar, "|i1"},   {torch::kShort, "<i2"},
      {torch::kInt, "<i4"},   {torch::kLong, "<i8"},   {torch::kBool, "|b1"}};
  std::string shape;
  for (const std::int64_t size : values.sizes()) shape += std::to_string(size) + ", ";
  const auto plain = values.contiguous();
  write_raw(path,
            "{'descr': '" + descr.at(values.scalar_type()) + "', 'fortran_order': False, 'shape': (" + shape +
                "), }",
            std::string(static_cast<const char*>(plain.data_ptr()), plain.nbytes()));
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const poise::Error& error) {
    EXPECT_EQ(error.fault(), poise::Fault::usage);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

poise::Batch all(const poise::Dataset& dataset, poise::Split split) {
  return dataset.fetch(split, torch::arange(dataset.size(split)), 0);
}

ArraysTest::ArraysTest() {
  std::vector<torch::Tensor> audio;
  std::vector<torch::Tensor> lengths;
  std::vector<torch::Tensor> image;
  std::vector<torch::Tensor> targets;
  for (const std::int64_t samples : {12, 3, 4}) {
    const auto split = static_cast<std::int64_t>(targets.size());
    const auto ids = torch::arange(samples);
    lengths.push_back(1 + ids.remainder(4));
    const auto padding = torch::arange(4) >= lengths.back().unsqueeze(1);
    const auto values = (1000 * split + torch::arange(samples * 8)).view({samples, 4, 2});
    audio.push_back(values.to(torch::kFloat).masked_fill(padding.unsqueeze(2), 1.0));
    image.push_back((50 * split + ids).to(torch::kByte).view({samples, 1, 1}).expand({samples, 2, 3}));
    targets.push_back(ids.remainder(3));
  }
  write("audio", audio);
  write("lengths", lengths);
  write("image", image);
  write("targets", targets);
}

fs::path ArraysTest::file(const std::string& name, const std::string& split) const {
  return folder_ / (name + "_" + split + ".npy");
}

void ArraysTest::write(const std::string& name, const std::vector<torch::Tensor>& values) const {
  write_npy(file(name, "train"), values.front());
  write_npy(file(name, "test"), values.back());
  if (values.size() == 3) write_npy(file(name, "validation"), values[1]);
}

std::string ArraysTest::table(const std::string& key, const std::string& name, bool has_validation) const {
  std::string text = "[" + key + "]\n";
  text += "train = '" + file(name, "train").string() + "'\n";
  if (has_validation) text += "validation = '" + file(name, "validation").string() + "'\n";
  return text + "test = '" + file(name, "test").string() + "'\n";
}

std::string ArraysTest::options(const std::string& top, bool has_validation) const {
  return top + table("targets", "targets", has_validation) +
         table("modality.image", "image", has_validation) + table("modality.audio", "audio", has_validation) +
         table("modality.audio.lengths", "lengths", has_validation);
}

std::shared_ptr<poise::Dataset> ArraysTest::built(const std::string& options,
                                                  const std::vector<int>& modalities) {
  auto dataset = poise::testing::make<poise::Dataset>(options);
  dataset->build({.modalities = modalities, .threads = 1});
  return dataset;
}
