// The file for TensorBoard, against bytes that tests/oracles/events.py made from the format's description.
#include "training/events.h"

#include <gtest/gtest.h>

#include "poise/testing_oracle.h"

namespace poise {
namespace {

std::string hexadecimal(const std::string& bytes) {
  const char* const digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

TEST(Events, AreTheOraclesBytes) {
  const auto expected = testing::oracle("events");
  const auto lines = expected.at("lines").get<std::vector<std::string>>();
  EXPECT_EQ(hexadecimal(tensorboard_events(lines, expected.at("finished"))),
            expected.at("file").get<std::string>());
}

}  // namespace
}  // namespace poise
