#include "import/series_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails;
using test::fails_input;
using test::read_documents;

class SeriesSourceTest : public ::testing::Test {
 protected:
  SeriesSourceTest() : rules_{tokenizer_.get(), choose_framing("none", *tokenizer_)} {}

  std::vector<Document> read(std::string_view content, const std::vector<std::string>& columns = {"y"}) {
    SeriesSource source(directory_.write("s.csv", content).string(), "s.csv", ',', rules_, columns, 1000);
    std::vector<Document> documents = read_documents(source);
    EXPECT_EQ(source.identity()->bytes, content.size());
    return documents;
  }
  test::TemporaryDirectory directory_;
  std::unique_ptr<const Tokenizer> tokenizer_ = open_tokenizer("bins:10:0:1");
  EncodeRules rules_;
};

TEST_F(SeriesSourceTest, AFileIsADocument) {
  const auto documents = read("date,y,z\n1,0.15,0.9\n2,\"0.25\",-8\n\n3,0.35,1e-1\n", {"z", "y"});
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].id, "s.csv");
  EXPECT_EQ(documents[0].tokens, (std::vector<int32_t>{9, 1, 0, 2, 1, 3}));
  EXPECT_TRUE(documents[0].begins && documents[0].ends);
}

// In parts, of which only the last ends the document.
TEST_F(SeriesSourceTest, LongSeriesComeInParts) {
  std::string content = "y\n";
  std::vector<int32_t> want;
  for (int i = 0; i < 3 * static_cast<int>(kBatchDocuments) + 5; ++i) {
    content += fmt::format("0.{}5\n", i * 7 % 10);
    want.push_back(i * 7 % 10);
  }
  const auto documents = read(content);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].tokens, want);
  EXPECT_TRUE(documents[0].ends);
}

TEST_F(SeriesSourceTest, WhatLiesOutsideIsSaid) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(read("y\n-1\n0.5\n1\n")[0].tokens, (std::vector<int32_t>{0, 5, 9}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("2 of 3 numbers lie outside 0 to 1"), std::string::npos);
}

TEST_F(SeriesSourceTest, AHoleIsNamed) {
  EXPECT_TRUE(
      fails_input({"s.csv:3", "column \"y\"", "expected a number", "n/a"}, [&] { read("x,y\n1,0.1\n2,n/a\n"); }));
  EXPECT_TRUE(fails_input({"s.csv:2", "column \"y\"", "\"\""}, [&] { read("x,y\n1,\n"); }));
  EXPECT_TRUE(fails_input({"s.csv:2", "nan"}, [&] { read("y\nnan\n"); }));
  EXPECT_TRUE(fails_input({"s.csv:3", "row of 1 cells: expected 2"}, [&] { read("x,y\n1,0.1\n2\n"); }));
  EXPECT_TRUE(fails_input({"s.csv:2", "a series has no holes"}, [&] { read("y\n\"0.1\"2\n0.1\n"); }));
  EXPECT_TRUE(fails_input({"s.csv:3", "empty cell"}, [&] { read("y\n0.1\n\n\n0.2\n"); })) << "the only column's";
  EXPECT_TRUE(fails_input({"s.csv:2", "empty cell"}, [&] { read("y\n\r\n0.2\n"); }));
  EXPECT_EQ(read("y\n0.1\n0.2\n\n\n").front().tokens.size(), 2u) << "the file's end";
  EXPECT_TRUE(fails_input({"no column \"w\"", "x, y"}, [&] { read("x,y\n1,2\n", {"y", "w"}); }));
}

TEST_F(SeriesSourceTest, NoRowsAreAReject) {
  const auto documents = read("y\n");
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_NE(documents[0].reject.find("no rows"), std::string::npos);
}

TEST_F(SeriesSourceTest, NeedsBins) {
  const std::string path = directory_.write("s.csv", "y\n1\n").string();
  EXPECT_TRUE(fails(ExitCode::usage, {"--columns", "bins", "bytes"},
                    [&] { SeriesSource(path, "s.csv", ',', test::byte_rules(), {"y"}, 1000); }));
}

}  // namespace
}  // namespace switchyard
