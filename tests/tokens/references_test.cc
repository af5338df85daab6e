// Ids and texts as Hugging Face's tokenizers 0.23.3 has them: of small tokenizers of every family's kind, and of real
// ones where a folder of them is given.
#include <zlib.h>

#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/seal.h"
#include "tests/tokens/fixtures.h"
#include "tokens/split_patterns.h"

namespace switchyard {
namespace {

using tests::read_references;

class References : public testing::TestWithParam<const char*> {};

TEST_P(References, IdsAndTextsAreHuggingFaces) {
  const auto tokenizer = HfTokenizer::load(tests::tokenizer_data() / (std::string(GetParam()) + ".json"));
  const auto references =
      read_references(read_text_file(tests::tokenizer_data() / (std::string(GetParam()) + ".jsonl")), true);
  ASSERT_GT(references.size(), 40u);
  tests::expect_references(*tokenizer, references);
}

TEST_P(References, SplitPatternsHaveMatchersOfTheirOwn) {
  const std::string text = read_text_file(tests::tokenizer_data() / (std::string(GetParam()) + ".json"));
  const Json json = parse_json(text, GetParam());
  const Json& pre_tokenizer = json.at("pre_tokenizer");
  if (!pre_tokenizer.is_object() || !pre_tokenizer.contains("pretokenizers")) return;
  const bool deepseek_v2 = std::string_view(GetParam()) == "deepseek-v2";  // runs of classes
  for (const Json& part : pre_tokenizer.at("pretokenizers")) {
    if (part.at("type") != "Split") continue;
    const std::string regex = part.at("pattern").at("Regex");
    if (deepseek_v2 || regex.starts_with("[一")) continue;
    EXPECT_NE(make_known_pattern(regex), nullptr) << regex;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, References, testing::ValuesIn(tests::kFamilies), [](const auto& family) {
  std::string name = family.param;
  for (char& c : name)
    if (c == '-' || c == '.') c = '_';
  return name;
});

TEST(HfTokenizer, SpellingsOfSpecialTokensAreCountedWhereTheyAreLeftAsText) {
  const auto tokenizer = HfTokenizer::load(tests::tokenizer_data() / "qwen3.json");
  std::vector<int32_t> ids;
  EXPECT_EQ(tokenizer->encode("<|end|>a<mask><|end|>", ids, {.special_in_text = false}), 2);
  const auto is_mask = [&](int32_t id) { return tokenizer->piece(id) == "<mask>"; };
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), is_mask), 1) << "a token that is not special is found all the same";
  EXPECT_EQ(tokenizer->decode(ids), "<|end|>a<mask><|end|>");
  ids.clear();
  EXPECT_EQ(tokenizer->encode("<|end|>a", ids, {}), 0);
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_EQ(tokenizer->id_of("<|end|>"), ids[0]);
  EXPECT_EQ(tokenizer->id_of("no such token"), std::nullopt);
}

TEST(HfTokenizer, KnowsItsTokens) {
  const auto tokenizer = HfTokenizer::load(tests::tokenizer_data() / "mixtral.json");
  EXPECT_EQ(tokenizer->frame().before, std::vector<int32_t>{1});
  EXPECT_TRUE(tokenizer->frame().behind.empty());
  EXPECT_EQ(tokenizer->piece(1), "<s>");
  EXPECT_EQ(tokenizer->piece(-1), std::nullopt);
  EXPECT_EQ(tokenizer->piece(static_cast<int32_t>(tokenizer->vocabulary_size())), std::nullopt);
  EXPECT_TRUE(tokenizer->piece(static_cast<int32_t>(tokenizer->vocabulary_size() - 1)).has_value());
  const auto bytes = HfTokenizer::load(tests::tokenizer_data() / "qwen3.json");
  std::vector<int32_t> ids;
  bytes->encode("\u4e2d", ids);
  std::string pieces;
  for (const int32_t id : ids) pieces += *bytes->piece(id);
  EXPECT_EQ(pieces, "\u4e2d");
  EXPECT_EQ(bytes->hash(), hash_of_file(tests::tokenizer_data() / "qwen3.json").hex()) << "a model's identity";
  EXPECT_NE(bytes->hash(), tokenizer->hash());
}

TEST(HfTokenizer, TextThatIsNotUtf8IsRefused) {
  const auto tokenizer = HfTokenizer::load(tests::tokenizer_data() / "qwen3.json");
  std::vector<int32_t> ids;
  const std::string error = tests::error_of([&] { tokenizer->encode("abcdefghijkl\xff", ids, {}); });
  EXPECT_NE(error.find("not UTF-8 at byte 12"), std::string::npos) << error;
}

TEST(HfTokenizer, ThreadsGetTheSameIds) {
  const auto tokenizer = HfTokenizer::load(tests::tokenizer_data() / "cl100k.json");
  const auto references = read_references(read_text_file(tests::tokenizer_data() / "cl100k.jsonl"), true);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { tests::expect_references(*tokenizer, references); });
  for (std::thread& thread : threads) thread.join();
}

std::string read_gzip(const std::filesystem::path& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  std::string text, block(1 << 20, '\0');
  for (int n; file != nullptr && (n = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0;)
    text.append(block, 0, static_cast<size_t>(n));
  gzclose(file);
  return text;
}

/// Folders with tokenizer.json.gz and *.jsonl.gz: lines {"text", "ids", "ids_special"}.
TEST(HfTokenizer, RealTokenizersAgree) {
  const char* folder = std::getenv("SWITCHYARD_TOKENIZERS");
  if (folder == nullptr) GTEST_SKIP() << "SWITCHYARD_TOKENIZERS names no folder of tokenizers with reference ids";
  int64_t lines = 0;
  for (const auto& directory : list_directory(folder)) {
    if (!file_exists(directory / "tokenizer.json.gz")) continue;
    SCOPED_TRACE(directory.native());
    const HfTokenizer tokenizer(read_gzip(directory / "tokenizer.json.gz"), directory.filename().native());
    for (const auto& path : list_directory(directory)) {
      if (!path.native().ends_with(".jsonl.gz")) continue;
      const auto references = read_references(read_gzip(path), false);
      lines += static_cast<int64_t>(references.size());
      tests::expect_references(tokenizer, references);
    }
  }
  EXPECT_GT(lines, 0) << folder;
}

}  // namespace
}  // namespace switchyard
