#include "import/text_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::read_documents;

constexpr uint64_t kMost = 100;  // of a document that must be seen as a whole

TextSource source(const std::filesystem::path& path, const EncodeRules& rules = test::byte_rules(),
                  uint64_t max_document_bytes = kMost) {
  return {path.string(), path.filename().string(), rules, max_document_bytes};
}

TEST(TextSource, AFileIsADocument) {
  const test::TemporaryDirectory directory;
  TextSource text = source(directory.write("a.txt", "hi\n"));
  const auto documents = read_documents(text);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].source, (directory / "a.txt").string());
  EXPECT_EQ(documents[0].id, "a.txt");
  EXPECT_FALSE(documents[0].line.has_value());
  EXPECT_FALSE(documents[0].context.has_value());
  EXPECT_TRUE(documents[0].begins && documents[0].ends);
  EXPECT_EQ(documents[0].tokens, (std::vector<int32_t>{'h', 'i', '\n'}));
  EXPECT_EQ(text.identity()->bytes, 3u);

  TextSource empty = source(directory.write("empty.txt", ""));
  EXPECT_NE(read_documents(empty).at(0).reject.find("empty"), std::string::npos);
  TextSource bytes = source(directory.write("b", std::string("\0\xff", 2)));
  EXPECT_EQ(read_documents(bytes).at(0).tokens, (std::vector<int32_t>{0, 255}));
}

TEST(TextSource, ReadsLargeFilesInBlocks) {
  const test::TemporaryDirectory directory;
  std::string bytes;
  for (size_t i = 0; i < 700'001; ++i) bytes += static_cast<char>(i * i >> 3);
  TextSource text = source(directory.write("large", bytes));
  const auto documents = read_documents(text);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_TRUE(documents[0].ends);
  ASSERT_EQ(documents[0].tokens.size(), bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i)
    ASSERT_EQ(documents[0].tokens[i], static_cast<unsigned char>(bytes[i])) << i;
}

/// The first id is the text's length, the others its bytes: what part it is given shows.
class Lengths : public Tokenizer {
 public:
  std::string kind() const override { return "bytes"; }
  std::string name() const override { return "lengths"; }
  std::string hash() const override { return "0"; }
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions&) const override {
    ids.push_back(static_cast<int32_t>(text.size()));
    ids.insert(ids.end(), text.begin(), text.end());
    return 0;
  }
  std::string decode(std::span<const int32_t>) const override { return {}; }
  std::optional<std::string> piece(int32_t) const override { return std::nullopt; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  int64_t vocabulary_size() const override { return INT32_MAX; }
};

TEST(TextSource, ATokenizerThatDoesNotStreamSeesTheWholeDocument) {
  const test::TemporaryDirectory directory;
  const std::string text(300'000, 'x');  // more than a block
  const Lengths tokenizer;
  const EncodeRules rules{&tokenizer, choose_framing("none", tokenizer)};
  TextSource fits = source(directory.write("fits", text), rules, text.size());
  const auto documents = read_documents(fits);
  ASSERT_EQ(documents.at(0).tokens.size(), text.size() + 1);
  EXPECT_EQ(documents[0].tokens[0], 300'000);

  TextSource longer = source(directory.write("longer", text + text + "x"), rules, text.size());
  const std::string reject = read_documents(longer).at(0).reject;
  EXPECT_NE(reject.find("more than 300000 bytes, which lengths"), std::string::npos) << reject;
  EXPECT_EQ(longer.identity()->bytes, 600'001u);  // of a reject, too
}

TEST(TextSource, NamesAMissingFile) {
  EXPECT_TRUE(test::fails_input({"/nowhere/x.txt"}, [] { source("/nowhere/x.txt"); }));
}

TEST(DocumentNames, AreFileNamesUnlessTwoAreEqual) {
  EXPECT_EQ(document_names({"d/a.txt", "b.txt"}), (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(document_names({"d/a", "e/a", "f/b"}), (std::vector<std::string>{"d/a", "e/a", "b"}));
  EXPECT_EQ(document_names({"d/\xff.txt"}), (std::vector<std::string>{R"({"bytes":"ff2e747874"})"}));
}

}  // namespace
}  // namespace switchyard
