// The format is that of TensorFlow: TFRecords (tensorflow/core/lib/io/record_writer.h) of the protocol buffer
// `Event` (tensorflow/core/util/event.proto), of which five fields are written:
//
//   record = length (8 bytes), masked CRC-32C of those bytes (4), message, masked CRC-32C of the message (4)
//   Event: 1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary
//   Summary: 1 value, repeated: 1 tag (string), 2 simple_value (float)
//
// All numbers are little-endian.
#include "training/events.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include <boost/crc.hpp>
#include <nlohmann/json.hpp>

namespace poise {
namespace {

static_assert(std::endian::native == std::endian::little);

template <class Number>
std::string bytes(Number number) {
  std::string text(sizeof(number), '\0');
  std::memcpy(text.data(), &number, sizeof(number));
  return text;
}

std::string varint(std::uint64_t number) {
  std::string text;
  for (; number >= 0x80; number >>= 7) text += static_cast<char>(0x80 | (number & 0x7f));
  return text + static_cast<char>(number);
}

// Fields of a protocol buffer: number and kind in one byte, then the value.
std::string real(int field, double value) { return varint(field << 3 | 1U) + bytes(value); }
std::string real(int field, float value) { return varint(field << 3 | 5U) + bytes(value); }
std::string integer(int field, std::uint64_t value) { return varint(field << 3) + varint(value); }
std::string text(int field, const std::string& value) {
  return varint(field << 3 | 2U) + varint(value.size()) + value;
}

std::string checksum(const std::string& data) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;  // CRC-32C
  crc.process_bytes(data.data(), data.size());
  return bytes(std::rotr(crc.checksum(), 15) + 0xa282ead8U);
}

std::string record(const std::string& message) {
  const std::string length = bytes(std::uint64_t{message.size()});
  return length + checksum(length) + message + checksum(message);
}

/// The scalars of a line, flattened.
std::string summary(const nlohmann::json& line) {
  std::string values;
  const nlohmann::json flat = line.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (!value.is_number() || path == "/epoch" || path == "/step") continue;
    values += text(1, text(1, path.substr(1)) + real(2, value.get<float>()));
  }
  return values;
}

}  // namespace

std::string tensorboard_events(const std::vector<std::string>& metrics, double finished) {
  std::vector<nlohmann::json> lines;
  double time = finished;
  for (const auto& metric : metrics) {
    lines.push_back(nlohmann::json::parse(metric));
    time -= lines.back().at("epoch_seconds").get<double>();
  }
  std::string file = record(real(1, time) + text(3, "brain.Event:2"));
  for (const auto& line : lines) {
    time += line.at("epoch_seconds").get<double>();
    file += record(real(1, time) + integer(2, line.at("step").get<std::uint64_t>()) + text(5, summary(line)));
  }
  return file;
}

}  // namespace poise
