#include "import/table_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::read_documents;

std::vector<int32_t> ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

class TableSourceTest : public ::testing::Test {
 protected:
  std::vector<Document> read(std::string_view content, char separator = ',', uint64_t max_row_bytes = 1000) {
    TableSource source(directory_.write("t.csv", content).string(), "t.csv", separator, test::byte_rules(),
                       max_row_bytes);
    std::vector<Document> documents = read_documents(source);
    EXPECT_EQ(source.identity()->bytes, content.size());
    return documents;
  }
  test::TemporaryDirectory directory_;
};

TEST_F(TableSourceTest, ARowIsADocument) {
  const auto documents = read(
      "id,text,label\r\n"
      "a,\"one, \"\"two\"\"\",x\r\n"
      "\r\n"
      ",\"line\r\nline\",\r\n"
      "c, blanks ,y");
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0].id, "a");
  EXPECT_EQ(documents[0].tokens, ids("one, \"two\""));
  EXPECT_EQ(documents[0].label, "x");
  EXPECT_EQ(documents[0].line, 2);
  EXPECT_EQ(documents[1].id, "t.csv:4");
  EXPECT_EQ(documents[1].tokens, ids("line\r\nline"));
  EXPECT_EQ(documents[1].label, "");
  EXPECT_EQ(documents[2].line, 6);
  EXPECT_EQ(documents[2].tokens, ids(" blanks "));
}

TEST_F(TableSourceTest, TabsMaySeparate) {
  const auto documents = read(
      "\xef\xbb\xbf"
      "context\tcontinuation\na,b\tc\n\tx\n",
      '\t');
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].tokens, ids("a,bc"));
  EXPECT_EQ(documents[0].context, 3);
  EXPECT_EQ(documents[1].context, 0);
}

TEST_F(TableSourceTest, BadRowsAreRejectsByTheirLine) {
  const auto documents = read(
      "id,text\n"
      "a,fine\n"
      "b\n"
      "c,d,e\n"
      "d,a \"quote\" inside\n"
      "e,\"behind\" it\n"
      "f,\xff\n"
      "g,\n"
      "h,\"two\n"
      "lines\"\n"
      "i,one\rtwo\n"
      "j,fine too\n"
      "k,\"never ends");
  const std::pair<int64_t, std::string_view> expected[] = {{2, ""},
                                                           {3, "row of 1 cells: expected 2"},
                                                           {4, "row of 3 cells: expected 2"},
                                                           {5, "a quote in the middle of a cell"},
                                                           {6, "something behind a quoted one"},
                                                           {7, "\"text\": the cell is not UTF-8"},
                                                           {8, "empty"},
                                                           {9, ""},
                                                           {11, "a carriage return in the middle of a row"},
                                                           {12, ""},
                                                           {13, "a quoted cell that does not end"}};
  ASSERT_EQ(documents.size(), std::size(expected));
  for (size_t i = 0; i < documents.size(); ++i) {
    EXPECT_EQ(documents[i].line, expected[i].first);
    EXPECT_EQ(documents[i].reject.empty(), expected[i].second.empty()) << documents[i].reject;
    EXPECT_NE(documents[i].reject.find(expected[i].second), std::string::npos) << documents[i].reject;
  }
}

TEST_F(TableSourceTest, RowsThatAreTooLong) {
  const auto documents = read("text\n" + std::string(30, 'x') + "\nshort\n\"" + std::string(10, 'y') + "\n" +
                                  std::string(15, 'y') + "\"\n\"z\"\n",
                              ',', 20);
  ASSERT_EQ(documents.size(), 4u);
  EXPECT_EQ(documents[0].reject, "row of more than 20 bytes");
  EXPECT_EQ(documents[1].tokens, ids("short"));
  EXPECT_EQ(documents[2].reject, "row of more than 20 bytes");
  EXPECT_EQ(documents[3].tokens, ids("z"));
}

// What stands in the cell's other lines is no row.
TEST_F(TableSourceTest, ARowThatIsTooLongIsLeftToItsEnd) {
  const auto documents = read("text,id\n\"one\nof many\nlines, \"\"q\"\"\nfake,row\n\",a\n\"good\",b\n", ',', 16);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].reject, "row of more than 16 bytes");
  EXPECT_EQ(documents[0].line, 2);
  EXPECT_EQ(documents[1].id, "b");
  EXPECT_EQ(documents[1].line, 7);
}

// Its quotes say whether a cell goes on behind it.
TEST_F(TableSourceTest, ALineThatIsTooLongMayBeginOrEndAQuotedCell) {
  const std::string longer(60, 'x');
  const auto documents = read("id,text\n1,\"short\n" + longer + "\"\n2,two\n3,\"" + longer + "\n4,not a row\n\"\n5,\"" +
                                  longer + " \"\"q\"\"\"\n6,six\n7,\"a\n" + longer + "\nb\"\n8,\"eight\"\n",
                              ',', 40);
  const std::pair<int64_t, std::string_view> expected[] = {{2, ""},    {4, "two"}, {5, ""},      {8, ""},
                                                           {9, "six"}, {10, ""},   {13, "eight"}};
  ASSERT_EQ(documents.size(), std::size(expected));
  for (size_t i = 0; i < documents.size(); ++i) {
    EXPECT_EQ(documents[i].line, expected[i].first);
    EXPECT_EQ(documents[i].reject.empty(), !expected[i].second.empty()) << documents[i].reject;
    if (documents[i].reject.empty()) {
      EXPECT_EQ(documents[i].tokens, ids(expected[i].second));
    }
  }
  EXPECT_TRUE(fails_input({"t.csv:2", "does not end"}, [&] { read("text\n\"" + longer + "\nb\nc\n", ',', 40); }));
}

TEST_F(TableSourceTest, AQuoteThatTakesTheRestOfTheFileIsNoReject) {
  EXPECT_TRUE(fails_input({"t.csv:3", "does not end", "2 lines after it"}, [&] { read("text\na\n\"open\nb\nc\n"); }));
  EXPECT_TRUE(fails_input({"t.csv:2", "does not end"}, [&] { read("text\n\"open\nand too\nc\nd\n", ',', 10); }));
}

TEST_F(TableSourceTest, ColumnsHaveNames) {
  EXPECT_TRUE(fails_input({"t.csv", "columns' names, found none"}, [&] { read(""); }));
  EXPECT_TRUE(fails_input({"t.csv:1", "\"a\" twice"}, [&] { read("a,b,a\n1,2,3\n"); }));
  EXPECT_TRUE(fails_input({"t.csv:1", "does not end"}, [&] { read("a,\"b\n"); }));
  EXPECT_TRUE(read("text\n").empty());
  EXPECT_NE(read("one,two\n1,2\n").at(0).reject.find("expected exactly one of text"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
