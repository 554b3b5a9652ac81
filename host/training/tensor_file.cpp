// The safetensors format: 8 bytes of little-endian header length, a JSON header (name -> dtype, shape,
// data_offsets; "__metadata__" -> texts), the tensors' bytes. https://github.com/huggingface/safetensors
#include "training/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ostream>

#include <ATen/ATen.h>
#include <sodium.h>
#include <nlohmann/json.hpp>

#include "poise/error.h"
#include "poise/files.h"

namespace poise {
namespace {

using Json = nlohmann::ordered_json;

const std::array<std::pair<const char*, at::ScalarType>, 8> kinds{{{"F32", at::kFloat},
                                                                   {"F64", at::kDouble},
                                                                   {"F16", at::kHalf},
                                                                   {"BF16", at::kBFloat16},
                                                                   {"I64", at::kLong},
                                                                   {"I32", at::kInt},
                                                                   {"U8", at::kByte},
                                                                   {"BOOL", at::kBool}}};

const char* kind_of(at::ScalarType type) {
  for (const auto& [name, kind] : kinds) {
    if (kind == type) return name;
  }
  throw Error(std::string("a tensor of type ") + at::toString(type) + " cannot be stored.");
}

const std::string no_checksum(64, '0');

/// BLAKE2b-256 of the header (its own checksum zeroed) and of the tensors' bytes.
class Checksum {
 public:
  Checksum() { crypto_generichash_init(&state_, nullptr, 0, size); }
  void add(const void* bytes, std::size_t count) {
    crypto_generichash_update(&state_, static_cast<const unsigned char*>(bytes), count);
  }
  std::string hex() {
    std::array<unsigned char, size> digest{};
    crypto_generichash_final(&state_, digest.data(), size);
    std::string text(2 * size + 1, '\0');
    sodium_bin2hex(text.data(), text.size(), digest.data(), size);
    text.pop_back();
    return text;
  }

 private:
  static constexpr std::size_t size = 32;
  crypto_generichash_state state_{};
};

std::string padded(std::string header) {
  header.resize((header.size() + 7) / 8 * 8, ' ');  // tensors begin at a multiple of 8
  return header;
}

[[noreturn]] void damaged(const std::filesystem::path& path, const std::string& what) {
  throw Error(path.string() + " is damaged: " + what + ".");
}

}  // namespace

bool TensorFile::has(const std::string& name) const {
  return std::any_of(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == name; });
}

const torch::Tensor& TensorFile::at(const std::string& name) const {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return tensor;
  }
  throw Error("there is no tensor '" + name + "'.");
}

void write_tensors(const std::filesystem::path& path, const TensorFile& content) {
  Json header;
  header["__metadata__"] = content.metadata;
  header["__metadata__"]["checksum"] = no_checksum;
  std::vector<torch::Tensor> tensors;
  std::size_t offset = 0;
  for (const auto& [name, tensor] : content.tensors) {
    tensors.push_back(tensor.detach().cpu().contiguous());
    const std::size_t bytes = tensors.back().nbytes();
    header[name] = {{"dtype", kind_of(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  Checksum checksum;
  const std::string unsigned_header = header.dump();
  checksum.add(unsigned_header.data(), unsigned_header.size());
  for (const auto& tensor : tensors) checksum.add(tensor.data_ptr(), tensor.nbytes());
  header["__metadata__"]["checksum"] = checksum.hex();
  const std::string text = padded(header.dump());

  write_file(path, [&](std::ostream& stream) {
    const std::uint64_t length = text.size();
    stream.write(reinterpret_cast<const char*>(&length), sizeof(length));
    stream.write(text.data(), static_cast<std::streamsize>(text.size()));
    for (const auto& tensor : tensors) {
      stream.write(static_cast<const char*>(tensor.data_ptr()),
                   static_cast<std::streamsize>(tensor.nbytes()));
    }
  });
}

TensorFile read_tensors(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  std::uint64_t length = 0;
  if (bytes.size() < sizeof(length)) damaged(path, "it is too short");
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > bytes.size() - sizeof(length)) damaged(path, "its header is cut off");
  Json header = Json::parse(bytes.substr(sizeof(length), length), nullptr, false);
  if (header.is_discarded() || !header.is_object()) damaged(path, "its header is not JSON");
  const char* data = bytes.data() + sizeof(length) + length;
  const std::size_t size = bytes.size() - sizeof(length) - length;

  TensorFile content;
  try {
    content.metadata = header.at("__metadata__").get<std::map<std::string, std::string>>();
    const std::string expected = content.metadata.at("checksum");
    content.metadata.erase("checksum");
    header["__metadata__"]["checksum"] = no_checksum;
    const std::string unsigned_header = header.dump();
    Checksum checksum;
    checksum.add(unsigned_header.data(), unsigned_header.size());
    checksum.add(data, size);
    if (checksum.hex() != expected) damaged(path, "its checksum does not fit its content");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
      const auto begin = entry.at("data_offsets").at(0).get<std::size_t>();
      for (const auto& [kind, type] : kinds) {
        if (entry.at("dtype") != kind) continue;
        const auto tensor = at::empty(shape, type);
        if (begin + tensor.nbytes() > size) damaged(path, "tensor '" + name + "' is cut off");
        // An empty tensor has no address.
        if (tensor.nbytes() > 0) std::memcpy(tensor.data_ptr(), data + begin, tensor.nbytes());
        content.tensors.emplace_back(name, tensor);
      }
    }
  } catch (const std::out_of_range&) {
    damaged(path, "it carries no checksum");
  } catch (const nlohmann::json::exception& error) {
    damaged(path, error.what());
  }
  return content;
}

}  // namespace poise
