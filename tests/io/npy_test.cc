#include "io/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/expect_error.h"
#include "tests/support/npy_bytes.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::npy_bytes;
using test::npy_file;
using test::TemporaryDirectory;

std::vector<int64_t> read_all(const NpyArray& array) {
  std::vector<int64_t> values(static_cast<size_t>(array.size()));
  array.read(0, values);
  return values;
}

TEST(NpyHeader, ReadsWhatNumpyWrites) {
  const NpyHeader header = parse_npy_header("{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }     \n", "f");
  EXPECT_EQ(header.item_bytes, 4u);
  EXPECT_TRUE(header.is_signed);
  EXPECT_EQ(header.elements, 3);
  EXPECT_EQ(parse_npy_header("{\"shape\":(0,),\"fortran_order\":False,\"descr\":\"|u1\"}", "f").item_bytes, 1u);
  EXPECT_FALSE(
      parse_npy_header("{'descr': '<u8', 'fortran_order': False, 'shape': (9223372036854775807,)}", "f").is_signed);
}

TEST(NpyHeader, RefusesEverythingElse) {
  for (const char* text : {"",
                           "{",
                           "{}",
                           "[]",
                           "{'descr': '<i4'}",
                           "{'descr': '<i4', 'fortran_order': False}",
                           "{'descr': '<i4', 'fortran_order': True, 'shape': (3,)}",
                           "{'descr': '<i4', 'fortran_order': 0, 'shape': (3,)}",
                           "{'descr': '>i4', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '|i4', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i3', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i16', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<U5', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': ()}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 1)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (-3,)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': 3}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775808,)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (3.0,)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (3",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (3,)} x",
                           "{'descr': '<i4 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i4' 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (3,)}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), 'x': 'y'}",
                           "{'descr': '<i4', 'fortran_order': False, 'shape': (,)}"})
    EXPECT_TRUE(fails_input({"f: npy header"}, [&] { parse_npy_header(text, "f"); })) << text;
}

TEST(NpyArray, ReadsEveryWidthAndVersion) {
  const TemporaryDirectory directory;
  const std::vector<int64_t> expected{0, 1, 127};
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<int8_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<uint8_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<int16_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<uint16_t>({0, 1, 127}, 2)))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<int32_t>({0, 1, 127}, 3)))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<uint32_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<int64_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<uint64_t>({0, 1, 127})))), expected);
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<int16_t>({-32768})))), std::vector<int64_t>{-32768});
  EXPECT_EQ(read_all(NpyArray(directory.write("a", npy_bytes<uint32_t>({4294967295})))),
            std::vector<int64_t>{4294967295});
  EXPECT_EQ(NpyArray(directory.write("a", npy_bytes<int32_t>({}))).size(), 0);
}

TEST(NpyArray, ReadsRangesAcrossBlocks) {
  const TemporaryDirectory directory;
  std::vector<int32_t> values(50'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 7) - 1000;
  const NpyArray array(directory.write("a", npy_bytes<int32_t>(values)));
  std::vector<int64_t> out(40'001);
  array.read(9'000, out);
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], values[9'000 + i]);
  EXPECT_TRUE(test::fails(ExitCode::internal, {"50000"}, [&] { array.read(10'000, out); }));
}

TEST(NpyArray, NamesAValueBeyondI64) {
  const TemporaryDirectory directory;
  const auto path = directory.write("a.npy", npy_bytes<uint64_t>({1, uint64_t{1} << 63}));
  EXPECT_TRUE(fails_input({path.string(), "element 1", "9223372036854775808"}, [&] { read_all(NpyArray(path)); }));
}

TEST(NpyArray, EveryTruncationIsRefused) {
  const TemporaryDirectory directory;
  const std::string whole = npy_bytes<int32_t>({1, 2, 3});
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto path = directory.write("a.npy", whole.substr(0, size));
    EXPECT_TRUE(fails_input({path.string()}, [&] { NpyArray array(path); })) << size;
  }
  EXPECT_TRUE(fails_input({"found 13 bytes"}, [&] { NpyArray array(directory.write("a", whole + "x")); }));
}

TEST(NpyArray, RefusesHostileFiles) {
  const TemporaryDirectory directory;
  const auto refused = [&](const std::string& bytes, std::string_view part) {
    const auto path = directory.write("a.npy", bytes);
    return fails_input({path.string(), part}, [&] { NpyArray array(path); });
  };
  const std::string_view huge = "{'descr': '<i8', 'fortran_order': False, 'shape': (9223372036854775807,)}";
  EXPECT_TRUE(refused(npy_file(1, huge, "12345678"), "9223372036854775807 elements"));
  EXPECT_TRUE(refused(npy_file(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2305843009213693952,)}", ""),
                      "elements"));
  EXPECT_TRUE(refused(std::string("\x93NUMPY\x02\0\xff\xff\xff\xff{}", 14), "header of 4294967295 bytes"));
  EXPECT_TRUE(refused(std::string("\x93NUMPY\x04\0\0\0\0\0", 12), "version 4.0"));
  EXPECT_TRUE(refused(std::string("\x93NUMPY\x01\x01\0\0", 10), "version 1.1"));
  EXPECT_TRUE(refused("PK\x03\x04 an npz file", "not an npy file"));
}

}  // namespace
}  // namespace switchyard
