#include "io/text_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::read_documents;

constexpr uint64_t kMost = 100;  // of a document that must be seen as a whole

TEST(Tokenizers, AreNamed) {
  EXPECT_EQ(find_tokenizer("bytes").name(), "bytes");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--tokenizer gpt2", "bytes"}, [] { find_tokenizer("gpt2"); }));
  std::vector<int32_t> ids;
  find_tokenizer("bytes").encode(std::string_view("a\0\xff", 3), ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{97, 0, 255}));
}

TEST(TextSource, AFileIsADocument) {
  const test::TemporaryDirectory directory;
  const auto a = directory.write("a.txt", "hi\n"), empty = directory.write("empty.txt", ""),
             b = directory.write("b", std::string("\0\xff", 2));
  TextSource source({a.string(), empty.string(), b.string()}, find_tokenizer("bytes"), kMost);
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
    TextSource source({path.string()}, find_tokenizer("bytes"), kMost);
    const auto documents = read_documents(source, block);
    ASSERT_EQ(documents.at(0).tokens.size(), bytes.size());
    for (size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(documents[0].tokens[i], static_cast<unsigned char>(bytes[i])) << i;
  }
}

/// The first id is the text's length, the others its bytes: what part it is given shows.
class Lengths : public Tokenizer {
 public:
  std::string name() const override { return "lengths"; }
  std::string hash() const override { return "0"; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    ids.push_back(static_cast<int32_t>(text.size()));
    ids.insert(ids.end(), text.begin(), text.end());
  }
};

TEST(TextSource, ATokenizerThatDoesNotStreamSeesTheWholeDocument) {
  const test::TemporaryDirectory directory;
  const std::string text(300'000, 'x');  // more than a block
  const auto fits = directory.write("fits", text), longer = directory.write("longer", text + "x"),
             after = directory.write("after", "ab");
  const Lengths tokenizer;
  TextSource source({fits.string(), longer.string(), after.string()}, tokenizer, text.size());
  const auto documents = read_documents(source);
  ASSERT_EQ(documents.size(), 3u);
  ASSERT_EQ(documents[0].tokens.size(), text.size() + 1);
  EXPECT_EQ(documents[0].tokens[0], 300'000);
  EXPECT_NE(documents[1].document.reject.find("more than 300000 bytes, which lengths"), std::string::npos)
      << documents[1].document.reject;
  EXPECT_EQ(documents[2].tokens, (std::vector<int32_t>{2, 'a', 'b'}));
}

TEST(TextSource, NamesAMissingFile) {
  TextSource source({"/nowhere/x.txt"}, find_tokenizer("bytes"), kMost);
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
