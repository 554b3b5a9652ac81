#include "training/tensor_file.h"

#include <cstring>
#include <fstream>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "poise/error.h"
#include "poise/files.h"
#include "poise/testing_folder.h"
#include "training/checkpoint.h"

namespace poise {
namespace {

class TensorFileTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder temporary_;
  const std::filesystem::path folder_ = temporary_.path();
};

TensorFile example() {
  TensorFile file;
  file.metadata["state"] = "{\"epoch\": 3}";
  file.tensors = {{"a", at::arange(6, at::kFloat).view({2, 3})},
                  {"transposed", at::arange(6, at::kDouble).view({2, 3}).t()},
                  {"count", at::scalar_tensor(7, at::kLong)},
                  {"bytes", at::arange(5, at::kByte)},
                  {"none", at::empty({0, 4}, at::kFloat)},
                  {"flags", at::tensor({1, 0, 1}, at::kLong).to(at::kBool)}};
  return file;
}

TEST_F(TensorFileTest, GivesBackWhatWasWritten) {
  write_tensors(folder_ / "t.safetensors", example());
  const TensorFile read = read_tensors(folder_ / "t.safetensors");
  EXPECT_EQ(read.metadata, example().metadata);
  ASSERT_EQ(read.tensors.size(), example().tensors.size());
  for (const auto& [name, tensor] : example().tensors) {
    EXPECT_EQ(read.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
  }
}

// The layout of the format, byte by byte, as any reader of safetensors expects it.
TEST_F(TensorFileTest, IsASafetensorsFile) {
  TensorFile file;
  file.tensors = {{"x", at::tensor({1.0F, 2.0F}, at::kFloat)}};
  write_tensors(folder_ / "t.safetensors", file);
  const std::string bytes = read_file(folder_ / "t.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0U);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  EXPECT_EQ(header.at("x"), (nlohmann::json{{"dtype", "F32"}, {"shape", {2}}, {"data_offsets", {0, 8}}}));
  EXPECT_EQ(bytes.substr(8 + length), std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));
}

TEST_F(TensorFileTest, EveryChangedByteIsNoticed) {
  const auto path = folder_ / "t.safetensors";
  write_tensors(path, example());
  const std::string whole = read_file(path);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    std::ofstream(path, std::ios::binary) << changed;
    // A space of the padding may become something that is no JSON, or stay harmless; a value never changes.
    try {
      const TensorFile read = read_tensors(path);
      for (const auto& [name, tensor] : example().tensors) EXPECT_TRUE(at::equal(read.at(name), tensor)) << i;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("t.safetensors is damaged"));
    }
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    EXPECT_THROW(read_tensors(path), Error) << size;
  }
}

TEST_F(TensorFileTest, ADamagedCheckpointIsNamedAndTheOneBeforeItIsUsed) {
  for (const int epoch : {1, 2, 3}) {
    Checkpoint checkpoint;
    checkpoint.scalars["epoch"] = epoch;
    checkpoint.tensors.tensors = {{"x", at::full({3}, epoch, at::kFloat)}};
    save_checkpoint(folder_, checkpoint);
  }
  std::vector<std::string> notes;
  const auto note = [&](const std::string& sentence) { notes.push_back(sentence); };
  EXPECT_EQ(load_checkpoint(folder_, note)->scalars.at("epoch"), 3);
  EXPECT_TRUE(notes.empty());

  std::string bytes = read_file(folder_ / "checkpoint.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(folder_ / "checkpoint.safetensors", bytes);
  EXPECT_EQ(load_checkpoint(folder_, note)->scalars.at("epoch"), 2);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_THAT(notes[0], ::testing::HasSubstr("checkpoint.safetensors is damaged: its checksum does not fit"));

  // A process that died between the two renames left only the older one.
  std::filesystem::remove(folder_ / "checkpoint.safetensors");
  EXPECT_EQ(load_checkpoint(folder_, note)->scalars.at("epoch"), 2);
  remove_checkpoints(folder_);
  EXPECT_FALSE(load_checkpoint(folder_, note).has_value());
}

}  // namespace
}  // namespace poise
