#include "io/line_reader.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

std::vector<std::string> lines_of(std::string_view bytes, uint64_t max_line_bytes = 1 << 20) {
  const test::TemporaryDirectory directory;
  LineReader reader(directory.write("f", bytes), max_line_bytes);
  std::vector<std::string> lines;
  while (reader.next()) {
    lines.push_back(reader.too_long() ? fmt::format("too long: {}", reader.line_bytes()) : reader.line());
    EXPECT_EQ(reader.number(), static_cast<int64_t>(lines.size()));
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST(LineReader, SplitsAtLineEnds) {
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("a"), Lines{"a"});
  EXPECT_EQ(lines_of("a\n"), Lines{"a"});
  EXPECT_EQ(lines_of("a\n\nb"), (Lines{"a", "", "b"}));
  EXPECT_EQ(lines_of("\n"), Lines{""});
  EXPECT_EQ(lines_of("a\r\nb\r\n\r\nc\rd"), (Lines{"a", "b", "", "c\rd"}));
}

TEST(LineReader, BlocksDoNotShow) {
  Lines expected;
  std::string bytes;
  for (size_t i = 0; i < 40; ++i) {  // 4 MB, lines across several blocks of 1 MiB
    expected.push_back(std::string(i * 5000, static_cast<char>('a' + i % 26)));
    bytes += expected.back() + "\n";
  }
  expected.push_back(std::string((3 << 20) - 7, 'z'));
  bytes += expected.back();
  EXPECT_EQ(lines_of(bytes, uint64_t{4} << 20), expected);
  const std::string exact(size_t{1} << 20, 'x');  // the block ends where the line does
  EXPECT_EQ(lines_of(exact, uint64_t{4} << 20), Lines{exact});
  EXPECT_EQ(lines_of(exact.substr(1) + "\ny", uint64_t{4} << 20), (Lines{exact.substr(1), "y"}));
}

TEST(LineReader, CountsLinesThatAreTooLongAndGoesOn) {
  EXPECT_EQ(lines_of("abcd\nabcde\nx\n", 4), (Lines{"abcd", "too long: 5", "x"}));
  EXPECT_EQ(lines_of(std::string(3 << 20, 'x') + "\ny", 4), (Lines{"too long: 3145728", "y"}));
}

TEST(LineReader, NamesAMissingFile) {
  EXPECT_TRUE(test::fails_input({"/nowhere/f"}, [] { LineReader("/nowhere/f", 1); }));
}

}  // namespace
}  // namespace switchyard
