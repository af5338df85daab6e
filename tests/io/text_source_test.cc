#include "io/text_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::read_documents;

TEST(Tokenizers, AreNamed) {
  EXPECT_EQ(find_tokenizer("bytes").name, "bytes");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--tokenizer gpt2", "bytes"}, [] { find_tokenizer("gpt2"); }));
  std::vector<int32_t> ids;
  find_tokenizer("bytes").encode(std::string_view("a\0\xff", 3), ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{97, 0, 255}));
}

TEST(TextSource, AFileIsADocument) {
  const test::TemporaryDirectory directory;
  const auto a = directory.write("a.txt", "hi\n"), empty = directory.write("empty.txt", ""),
             b = directory.write("b", std::string("\0\xff", 2));
  TextSource source({a.string(), empty.string(), b.string()}, find_tokenizer("bytes"));
  const auto documents = read_documents(source);
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0].document.source, a.string());
  EXPECT_EQ(documents[0].document.id, "a.txt");
  EXPECT_FALSE(documents[0].document.line.has_value());
  EXPECT_FALSE(documents[0].document.fixed.has_value());
  EXPECT_EQ(documents[0].tokens, (std::vector<int32_t>{'h', 'i', '\n'}));
  EXPECT_NE(documents[1].document.reject.find("empty"), std::string::npos);
  EXPECT_EQ(documents[2].tokens, (std::vector<int32_t>{0, 255}));
}

TEST(TextSource, ReadsLargeFilesInBlocks) {
  const test::TemporaryDirectory directory;
  std::string bytes;
  for (size_t i = 0; i < 700'001; ++i) bytes += static_cast<char>(i * i >> 3);
  const auto path = directory.write("large", bytes);
  for (const size_t block : {size_t{4096}, size_t{1} << 20}) {
    TextSource source({path.string()}, find_tokenizer("bytes"));
    const auto documents = read_documents(source, block);
    ASSERT_EQ(documents.at(0).tokens.size(), bytes.size());
    for (size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(documents[0].tokens[i], static_cast<unsigned char>(bytes[i])) << i;
  }
}

TEST(TextSource, NamesAMissingFile) {
  TextSource source({"/nowhere/x.txt"}, find_tokenizer("bytes"));
  Document document;
  EXPECT_TRUE(test::fails_input({"/nowhere/x.txt"}, [&] { source.next(document); }));
}

TEST(DocumentNames, AreFileNamesUnlessTwoAreEqual) {
  EXPECT_EQ(document_names({"d/a.txt", "b.txt"}), (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(document_names({"d/a", "e/a", "f/b"}), (std::vector<std::string>{"d/a", "e/a", "b"}));
  EXPECT_EQ(document_names({"d/\xff.txt"}), (std::vector<std::string>{R"({"bytes":"ff2e747874"})"}));
}

}  // namespace
}  // namespace switchyard
