#include "jobs/score/token_pieces.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"
#include "tokens/tokenizer.h"

namespace switchyard {
namespace {

const TokenizerIdentity kBytes{"bytes", open_tokenizer("bytes")->hash()};

class TokenPiecesTest : public ::testing::Test {
 protected:
  ScoringInput made_by(const std::optional<TokenizerIdentity>& tokenizer) const {
    ScoringInputWriter writer(directory_ / "input.h5");
    writer.add(std::vector<int32_t>{1, 2}, 1, "a", "");
    writer.finish(tokenizer);
    return ScoringInput(directory_ / "input.h5");
  }
  TokenPieces find(const std::optional<TokenizerIdentity>& tokenizer, int64_t vocab_size,
                   const std::string& choice = {}) const {
    return find_token_pieces(made_by(tokenizer), directory_.path(), choice, vocab_size);
  }
  test::TemporaryDirectory directory_;
};

TEST_F(TokenPiecesTest, OfBytesAreTheBytes) {
  const TokenPieces pieces = find(kBytes, 257);
  EXPECT_EQ(pieces.count, 257);
  for (int32_t id = 0; id < 256; ++id) EXPECT_EQ(pieces.of(id), std::string(1, static_cast<char>(id)));
  EXPECT_EQ(pieces.of(256), "");
  EXPECT_EQ(pieces.bytes(), 256 + 258 * 8);
}

TEST_F(TokenPiecesTest, OfTheModelsTokenizerGiveTheTextBack) {
  std::filesystem::copy(SWITCHYARD_TEST_DATA "/tokenizers/qwen3.json", directory_ / "tokenizer.json");
  const auto tokenizer = open_tokenizer(directory_.path());
  const int64_t vocab_size = tokenizer->vocabulary_size() + 10;  // as models have, for round numbers
  for (const auto& identity : {std::optional<TokenizerIdentity>(), {{"qwen3", tokenizer->hash()}}}) {
    const TokenPieces pieces = find(identity, vocab_size);
    EXPECT_EQ(pieces.count, vocab_size);
    EXPECT_EQ(pieces.of(static_cast<int32_t>(vocab_size) - 1), "");
    const std::string text = "In the beginning — naïve \xf0\x9f\x99\x82 12345\n\tend";
    std::vector<int32_t> ids;
    tokenizer->encode(text, ids);
    std::string joined;
    for (const int32_t id : ids) joined += pieces.of(id);
    EXPECT_EQ(joined, text);
  }
  EXPECT_EQ(find({}, 5).count, 5) << "a model that knows fewer of them";
}

// Of vocabularies whose signs are letters: a sign is a blank, "<0x0A>" a byte.
TEST_F(TokenPiecesTest, OfSentencePiecesTokenizersAreBytesToo) {
  for (const char* name : {"mixtral.json", "mistral.json", "metaspace.json"}) {
    std::filesystem::copy(std::filesystem::path(SWITCHYARD_TEST_DATA "/tokenizers") / name,
                          directory_ / "tokenizer.json", std::filesystem::copy_options::overwrite_existing);
    const auto tokenizer = open_tokenizer(directory_.path());
    const TokenPieces pieces = find({}, tokenizer->vocabulary_size());
    const std::string text = name == std::string_view("metaspace.json") ? "the beginning of a text"
                                                                        : "the beginning\n na\u00efve \xf0\x9f\x99\x82";
    std::vector<int32_t> ids;
    tokenizer->encode(text, ids);
    std::string joined;
    for (const int32_t id : ids) joined += pieces.of(id);
    EXPECT_EQ(joined.substr(joined.starts_with(' ') && !text.starts_with(' ') ? 1 : 0), text) << name;
  }
}

TEST_F(TokenPiecesTest, ThereIsNoTokenizerToTakeTextsFrom) {
  const auto refused = [&](const std::optional<TokenizerIdentity>& tokenizer,
                           std::initializer_list<std::string_view> parts) {
    return test::fails(ExitCode::usage, parts, [&] { find(tokenizer, 257); });
  };
  EXPECT_TRUE(refused({}, {"--with-text", "no tokenizer to take texts from", "tokenizer.json", "input.h5"}));
  std::filesystem::copy(SWITCHYARD_TEST_DATA "/tokenizers/qwen3.json", directory_ / "tokenizer.json");
  EXPECT_TRUE(refused(TokenizerIdentity{"gpt2", "0123"}, {"--with-text", "gpt2", "0123", "tokenizer.json"}));
  EXPECT_EQ(find(kBytes, 257).of('a'), "a") << "the input knows best";
  EXPECT_EQ(find({}, 257, "bytes").of('a'), "a") << "so somebody says";
  EXPECT_TRUE(test::fails(ExitCode::usage, {"made by bytes", "tokenizer.json"},
                          [&] { find(kBytes, 257, directory_ / "tokenizer.json"); }));
}

}  // namespace
}  // namespace switchyard
