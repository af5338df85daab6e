#include "tokens/bpe.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "io/file.h"
#include "tests/tokens/fixtures.h"
#include "tests/tokens/slow_bpe.h"
#include "tokens/tokenizer_file.h"

namespace switchyard {
namespace {

using tests::SlowBpe;

std::vector<int32_t> encode(const Bpe& bpe, const std::string& word, BpeScratch& scratch) {
  std::string padded = word + std::string(WordKey::kReadable, '\0');
  std::vector<int32_t> ids;
  bpe.encode(std::string_view(padded).substr(0, word.size()), ids, scratch);
  return ids;
}

TEST(Bpe, EncodesAsItsDefinitionReads) {
  std::mt19937_64 random(3);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  BpeScratch scratch;  // of one vocabulary after another
  for (int round = 0; round < 400; ++round) {
    const SlowBpe slow = tests::random_bpe(below);
    const Bpe bpe(slow.model());
    for (int i = 0; i < 25; ++i) {
      const std::string word = tests::random_word(slow, below, i % 8 == 0 ? 400 : 10);
      const std::vector<int32_t> expected = slow.encode(word);
      ASSERT_EQ(encode(bpe, word, scratch), expected) << round << ": " << testing::PrintToString(word);
      ASSERT_EQ(encode(bpe, word, scratch), expected) << "from memory";
    }
  }
}

/// Of some characters drawn from an alphabet, or of a few drawn over and over.
std::vector<std::string> long_words(const std::string& alphabet, std::mt19937_64& random) {
  std::vector<std::string> words;
  for (const size_t period : {1, 2, 3, 7, 2000}) {
    std::string word;
    const size_t size = 200 + random() % 1300;  // some of it more than one lane's
    for (size_t i = 0; i < size; ++i) word += i < period ? alphabet[random() % alphabet.size()] : word[i - period];
    words.push_back(word);
  }
  return words;
}

TEST(Bpe, EncodesLongWordsAsItsDefinitionReads) {
  std::mt19937_64 random(5);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  BpeScratch scratch;
  for (int round = 0; round < 100; ++round) {
    const SlowBpe slow = tests::random_bpe(below);
    const Bpe bpe(slow.model());
    for (const char* alphabet : {"a", "ab", "abc"})
      for (const std::string& word : long_words(alphabet, random))
        ASSERT_EQ(encode(bpe, word, scratch), slow.encode(word)) << round << ": " << word;
  }
}

/// All bytes, and tokens of these letters with every pair that makes one, as some files list them.
SlowBpe bpe_of_every_pair(const std::string& letters, std::mt19937_64& random) {
  SlowBpe bpe;
  bpe.byte_level = true;
  for (int byte = 0; byte < 256; ++byte)
    bpe.vocabulary.emplace(byte_to_character(static_cast<unsigned char>(byte)), byte);
  std::vector<std::string> pool;
  for (const char letter : letters) pool.emplace_back(1, letter);
  for (int i = 0; i < 60; ++i) {
    const std::string token = pool[random() % pool.size()] + pool[random() % pool.size()];
    if (token.size() > 12 || !bpe.vocabulary.emplace(token, static_cast<int32_t>(bpe.vocabulary.size())).second)
      continue;
    pool.push_back(token);
    for (size_t cut = 1; cut < token.size(); ++cut)
      if (bpe.vocabulary.contains(token.substr(0, cut)) && bpe.vocabulary.contains(token.substr(cut)))
        bpe.merges.emplace_back(token.substr(0, cut), token.substr(cut));
  }
  return bpe;
}

TEST(Bpe, WhereEveryPairIsListedOnlyThoseThatHappenCount) {
  std::mt19937_64 random(9);
  BpeScratch scratch;
  for (int round = 0; round < 100; ++round) {
    const std::string letters = std::string("abcd").substr(0, 1 + random() % 4);
    const SlowBpe slow = bpe_of_every_pair(letters, random);
    const Bpe bpe(slow.model());
    for (int i = 0; i < 20; ++i) {
      std::string word;
      for (size_t n = 1 + random() % 40; n > 0; --n) word += letters[random() % letters.size()];
      ASSERT_EQ(encode(bpe, word, scratch), slow.encode(word)) << round << ": " << word;
    }
    for (const std::string& word : long_words(letters, random))
      ASSERT_EQ(encode(bpe, word, scratch), slow.encode(word));
  }
}

class Families : public testing::TestWithParam<const char*> {};

TEST_P(Families, EncodeLongWordsAsTheDefinitionReads) {
  const std::string name = std::string(GetParam()) + ".json";
  TokenizerFile file = parse_tokenizer_file(read_text_file(tests::tokenizer_data() / name), name);
  file.model.byte_level = !file.model.byte_fallback;
  const SlowBpe slow = tests::slow_bpe(file.model);
  const Bpe bpe(std::move(file.model));
  std::mt19937_64 random(7);
  BpeScratch scratch;
  for (const char* alphabet : {"t", "th", "an", "aeinorst", "abcdefghijklmnopqrstuvwxyz", "the \n.,0123", " ", "\n\t "})
    for (const std::string& word : long_words(alphabet, random))
      ASSERT_EQ(encode(bpe, word, scratch), slow.encode(word)) << word;
}

INSTANTIATE_TEST_SUITE_P(Bpe, Families, testing::ValuesIn(tests::kFamilies));

SlowBpe letters() {
  SlowBpe bpe;
  bpe.byte_level = true;
  for (char c = 'a'; c <= 'z'; ++c) bpe.vocabulary.emplace(std::string(1, c), c - 'a');
  return bpe;
}

TEST(Bpe, AWordThatIsATokenBecomesItByMergesOrBecauseMergesAreIgnored) {
  SlowBpe slow = letters();
  slow.vocabulary["abc"] = 30;
  BpeScratch scratch;
  EXPECT_EQ(encode(Bpe(slow.model()), "abc", scratch), (std::vector<int32_t>{0, 1, 2}));
  slow.ignore_merges = true;
  EXPECT_EQ(encode(Bpe(slow.model()), "abc", scratch), (std::vector<int32_t>{30}));
  slow.vocabulary["abcdefghijklmnopqrstuvwxyz"] = 31;
  EXPECT_EQ(encode(Bpe(slow.model()), "abcdefghijklmnopqrstuvwxyz", scratch), (std::vector<int32_t>{31}));
}

TEST(Bpe, SpacesAreNeighboursWhereAnUnknownCharacterVanishes) {
  SlowBpe slow;
  slow.vocabulary = {{"\u2581", 0}, {"a", 1}, {"\u2581\u2581", 2}, {"<unk>", 3}};
  slow.merges = {{"\u2581", "\u2581"}};
  const std::string word = "a\u2581?\u2581a";
  BpeScratch scratch;
  EXPECT_EQ(encode(Bpe(slow.model()), word, scratch), (std::vector<int32_t>{1, 2, 1}));
  slow.unk_token = "<unk>";
  EXPECT_EQ(encode(Bpe(slow.model()), word, scratch), (std::vector<int32_t>{1, 0, 3, 0, 1}));
}

TEST(Bpe, AnUnknownTokenThatIsNotThereIsAnError) {
  SlowBpe slow = letters();
  slow.unk_token = "<unk>";
  BpeScratch scratch;
  const Bpe bpe(slow.model());
  EXPECT_EQ(encode(bpe, "ab", scratch).size(), 2u);
  EXPECT_THROW(encode(bpe, "a1", scratch), Error);
}

TEST(Bpe, LongWordsTakeNoQuadraticTime) {
  SlowBpe slow = letters();
  const auto add = [&](const std::string& left, const std::string& right) {
    slow.merges.emplace_back(left, right);
    slow.vocabulary.emplace(left + right, static_cast<int32_t>(slow.vocabulary.size()));
  };
  for (size_t size = 1; size <= 64; size *= 2)
    add(std::string(size, 'a'), std::string(size, 'a'));  // tokens as long as a window
  for (const auto& [left, right] :
       {std::pair("b", "c"), std::pair("c", "b"), std::pair("bc", "bc"), std::pair("d", "e")})
    add(left, right);
  const Bpe bpe(slow.model());
  BpeScratch scratch;
  EXPECT_EQ(encode(bpe, std::string(1280000, 'a'), scratch).size(), 10000u);
  std::string pairs, mixed;
  for (int i = 0; i < 250000; ++i) pairs += "bcde";
  EXPECT_EQ(encode(bpe, pairs, scratch).size(), 500000u);
  for (int i = 0; i < 1000; ++i) mixed += std::string(static_cast<size_t>(i % 300), 'a') + "bcbc";
  const std::string begin = mixed.substr(0, 3000);
  EXPECT_EQ(encode(bpe, begin, scratch), slow.encode(begin));
}

TEST(ByteCharacters, StandForBytesBothWays) {
  EXPECT_EQ(byte_to_character('a'), "a");
  EXPECT_EQ(byte_to_character(' '), "\u0120");
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<unsigned char>(byte);
    EXPECT_EQ(characters_to_bytes(byte_to_character(c)), std::string(1, static_cast<char>(c)));
  }
  EXPECT_EQ(characters_to_bytes("a "), std::nullopt);
  EXPECT_EQ(characters_to_bytes("\u2581"), std::nullopt);
}

}  // namespace
}  // namespace switchyard
