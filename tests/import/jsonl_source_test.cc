#include "import/jsonl_source.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::read_documents;
using Ids = std::vector<int32_t>;

TEST(JsonlSource, YieldsDocumentsAndRejectsInOrder) {
  const test::TemporaryDirectory directory;
  const auto one = directory.write("one.jsonl",
                                   "{\"text\":\"ab\",\"id\":\"first\",\"label\":1}\r\n"
                                   "\n"
                                   "  \t\r\n"
                                   "{\"text\":}\n"
                                   "{\"context\":\"a\",\"continuation\":\"bc\"}\n"
                                   "{\"text\":\"0123456789012345678901234567890123456789\"}\n"
                                   "{\"tokens\":[7]}");
  JsonlSource source(one.string(), "one.jsonl", test::byte_rules(), 45);
  const auto documents = read_documents(source);
  ASSERT_EQ(documents.size(), 5u);
  EXPECT_EQ(documents[0].id, "first");
  EXPECT_EQ(documents[0].label, "1");
  EXPECT_EQ(documents[0].tokens, (Ids{'a', 'b'}));
  EXPECT_EQ(documents[0].source, one.string());
  EXPECT_EQ(documents[0].line, 1);
  EXPECT_EQ(documents[1].line, 4);
  EXPECT_NE(documents[1].reject.find("column 9"), std::string::npos) << documents[1].reject;
  EXPECT_EQ(documents[2].id, "one.jsonl:5");
  EXPECT_EQ(documents[2].context, 1);
  EXPECT_EQ(documents[2].tokens.size(), 3u);
  EXPECT_EQ(documents[3].reject, "line of 51 bytes: expected at most 45");
  EXPECT_EQ(documents[4].tokens, Ids{7});
  EXPECT_EQ(source.identity()->bytes, std::filesystem::file_size(one));
}

TEST(JsonlSource, NamesAMissingFile) {
  EXPECT_TRUE(
      fails_input({"/nowhere/x.jsonl"}, [] { JsonlSource("/nowhere/x.jsonl", "x", test::byte_rules(), 1000); }));
}

}  // namespace
}  // namespace switchyard
