#include "npy.h"

#include <algorithm>
#include <fstream>

#include <poise/files.h>

#include "test_data.h"

namespace fs = std::filesystem;

namespace {

class Npy : public ::testing::Test {
 protected:
  /// The sentence about the file after its name.
  [[nodiscard]] std::string refusal() const {
    const auto said = error_of([&] { (void)arrays::map_values(path_); });
    EXPECT_TRUE(said.starts_with(path_.string() + " ")) << said;
    return said.substr(std::min(said.size(), path_.string().size() + 1));
  }
  [[nodiscard]] std::string refusal_of(const std::string& dictionary, const std::string& values = "",
                                       int version = 1) const {
    write_raw(path_, dictionary, values, version);
    return refusal();
  }
  void write_bytes(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  poise::testing::TemporaryFolder temporary_;
  const fs::path path_ = temporary_.path() / "x.npy";
};

const std::string readable =
    ", and arrays reads little-endian float16, float32, float64, uint8, int8, int16, int32, int64 and bool: "
    "save it with astype(numpy.float32).";

TEST_F(Npy, ReadsEveryTypeThatItTells) {
  const auto values = torch::tensor({0, 1, 2, 3, 100, 127}, torch::kLong).view({3, 2});
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kByte, torch::kChar,
                          torch::kShort, torch::kInt, torch::kLong}) {
    write_npy(path_, values.to(type));
    const auto read = arrays::map_values(path_);
    EXPECT_EQ(read.scalar_type(), type);
    EXPECT_TRUE(torch::equal(read, values.to(type))) << type;
  }
  write_npy(path_, values > 1);
  EXPECT_TRUE(torch::equal(arrays::map_values(path_), (values > 1).to(torch::kByte)));
  write_npy(path_, torch::tensor({-1.5, 3e38}, torch::kFloat));
  EXPECT_TRUE(torch::equal(arrays::map_values(path_), torch::tensor({-1.5, 3e38}, torch::kFloat)));
}

/// What NumPy 1.24 wrote for numpy.array([[1, -2, 300], [4, 5, -600]], "<i2").
TEST_F(Npy, ReadsWhatNumpyWrote) {
  const std::string hex =
      "934e554d5059010076007b276465736372273a20273c6932272c2027666f727472616e5f6f72646572273a2046616c73"
      "652c20277368617065273a2028322c2033292c207d202020202020202020202020202020202020202020202020202020"
      "202020202020202020202020202020202020202020202020202020202020200a0100feff2c0104000500a8fd";
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  ASSERT_EQ(bytes.size(), 140U);
  write_bytes(bytes);
  const auto header = arrays::read_header(path_);
  EXPECT_EQ(header.dtype, torch::kShort);
  EXPECT_EQ(header.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(header.begin, 128);
  const auto expected = torch::tensor({1, -2, 300, 4, 5, -600}, torch::kShort).view({2, 3});
  EXPECT_TRUE(torch::equal(arrays::map_values(path_), expected));
}

TEST_F(Npy, ReadsFormats1To3AndAnyOrderOfTheHeader) {
  const std::string values = {'\x01', '\x02', '\x03'};
  for (const int version : {1, 2, 3}) {
    write_raw(path_, "{'shape':(3,),'fortran_order':False,'descr':'|u1'}", values, version);
    EXPECT_TRUE(torch::equal(arrays::map_values(path_), torch::tensor({1, 2, 3}, torch::kByte))) << version;
  }
}

TEST_F(Npy, KeepsTheFileWhileItsValuesAreUsed) {
  write_npy(path_, torch::arange(1000));
  auto rows = arrays::map_values(path_).slice(0, 500);
  fs::remove(path_);
  EXPECT_TRUE(torch::equal(rows, torch::arange(500, 1000)));
}

TEST_F(Npy, RefusesWhatIsNoNpyFile) {
  EXPECT_EQ(refusal(), "cannot be read: No such file or directory.");
  write_bytes("");
  EXPECT_EQ(refusal(), "is no .npy file: write it with numpy.save.");
  write_bytes("PK\x03\x04 an archive of numpy.savez");
  EXPECT_EQ(refusal(), "is no .npy file: write it with numpy.save.");
  EXPECT_EQ(refusal_of("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }", "", 4),
            "is a .npy file of format 4, and arrays reads 1 to 3.");
}

TEST_F(Npy, RefusesOtherTypes) {
  const auto of = [&](const std::string& descr) {
    return refusal_of("{'descr': " + descr + ", 'fortran_order': False, 'shape': (2,), }", "12345678");
  };
  EXPECT_EQ(of("'>f4'"), "holds values of dtype '>f4'" + readable);
  EXPECT_EQ(of("'<u4'"), "holds values of dtype '<u4'" + readable);
  EXPECT_EQ(of("'<c8'"), "holds values of dtype '<c8'" + readable);
  EXPECT_EQ(of("'<U2'"), "holds values of dtype '<U2'" + readable);
  EXPECT_EQ(of("'|O'"), "holds values of dtype '|O'" + readable);
  EXPECT_EQ(of("'\x1b[2J\n'"), "holds values of dtype '?[2J?'" + readable);
  EXPECT_EQ(of("[('a', '<f4')]"), "holds records of several fields" + readable);
}

TEST_F(Npy, RefusesFortranOrder) {
  EXPECT_EQ(refusal_of("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2), }", "1234"),
            "holds its values in Fortran order: save numpy.ascontiguousarray of it.");
}

TEST_F(Npy, RefusesValuesThatAreMissingOrTooMany) {
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  EXPECT_EQ(refusal_of(header, "1234567"),
            "is damaged: it holds 7 bytes of values where its header states 8.");
  EXPECT_EQ(refusal_of(header, "123456789"),
            "is damaged: it holds 9 bytes of values where its header states 8.");
}

TEST_F(Npy, RefusesDamagedHeaders) {
  const auto of = [&](const std::string& dictionary) { return refusal_of(dictionary, "12"); };
  EXPECT_EQ(of("{'fortran_order': False, 'shape': (2,), }"), "is damaged: its header has no descr.");
  EXPECT_EQ(of("{'descr': '|u1', 'shape': (2,), }"), "is damaged: its header has no fortran_order.");
  EXPECT_EQ(of("{'descr': '|u1', 'fortran_order': False, }"), "is damaged: its header has no shape.");
  EXPECT_EQ(of("{'descr': '|u1', 'fortran_order': False, 'shape': (2,"),
            "is damaged: its header has no shape.");
  EXPECT_EQ(of("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }"),
            "is damaged: its header's shape is no list of sizes.");
  EXPECT_EQ(of("{'descr': '|u1', 'fortran_order': False, 'shape': (2.5,), }"),
            "is damaged: its header's shape is no list of sizes.");
  EXPECT_EQ(of("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 2), }"),
            "is damaged: its header's shape is impossible.");
  EXPECT_EQ(of(""), "is damaged: its header has no descr.");
}

TEST_F(Npy, RefusesAFileCutOffAnywhere) {
  write_npy(path_, torch::arange(4));
  const auto whole = poise::read_file(path_);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_bytes(whole.substr(0, size));
    const auto said = refusal();
    EXPECT_TRUE(said.starts_with(size < 8     ? "is no .npy file"
                                 : size < 128 ? "is damaged: it ends within its header."
                                              : "is damaged: it holds "))
        << size << ": " << said;
  }
}

TEST_F(Npy, RefusesAHeaderThatIsTooLong) {
  write_bytes(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13));
  EXPECT_EQ(refusal(), "is damaged: its header is too long.");
}

TEST_F(Npy, RefusesValuesThatCannotBeUsedInPlace) {
  const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";  // 57 bytes
  write_bytes(std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dictionary.size()) + '\0' + dictionary +
              "1234");
  EXPECT_EQ(refusal(), "has its values at byte " + std::to_string(10 + dictionary.size()) +
                           ", where they cannot be used in place: write it with numpy.save.");
}

}  // namespace
