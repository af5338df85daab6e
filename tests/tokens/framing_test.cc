#include "tokens/framing.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"
#include "tests/tokens/fixtures.h"

namespace switchyard {
namespace {

using test::fails;
using test::fails_input;
using Ids = std::vector<int32_t>;

class FramingTest : public ::testing::Test {
 protected:
  /// A tokenizer of tests/data, with these files beside it; empty: without.
  const Tokenizer& open(const char* file, const std::string& config = {}, const std::string& special_tokens = {}) {
    std::filesystem::copy_file(tests::tokenizer_data() / file, directory_ / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    if (!config.empty()) directory_.write("tokenizer_config.json", config);
    if (!special_tokens.empty()) directory_.write("special_tokens_map.json", special_tokens);
    tokenizer_ = open_tokenizer(directory_.path().string());
    return *tokenizer_;
  }
  test::TemporaryDirectory directory_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(FramingTest, AutoIsWhatThePostProcessorSays) {
  const Framing mixtral = choose_framing("auto", open("mixtral.json"));
  EXPECT_EQ(mixtral.of_text.before, Ids{1});
  EXPECT_TRUE(mixtral.of_text.behind.empty() && mixtral.of_ids.before.empty());
  EXPECT_NE(mixtral.why.find("1 \"<s>\" before every text (as "), std::string::npos) << mixtral.why;
  EXPECT_EQ(mixtral.empty_context, 1);
  const Framing qwen = choose_framing("auto", open("qwen3.json"));
  EXPECT_TRUE(qwen.of_text.before.empty() && qwen.of_text.behind.empty());
  EXPECT_EQ(qwen.empty_context, std::nullopt);
  EXPECT_NE(qwen.why.find("nothing is put around"), std::string::npos) << qwen.why;
}

TEST_F(FramingTest, ConfigIsWhatTransformersFourDid) {
  const char* config = R"({"bos_token": {"__type": "AddedToken", "content": "<|end|>"}, "eos_token": "<mask>",
                           "add_bos_token": true, "add_eos_token": true})";
  const Framing both = choose_framing("config", open("qwen3.json", config));
  EXPECT_EQ(both.of_text.before, Ids{360});
  EXPECT_EQ(both.of_text.behind, Ids{361});
  EXPECT_TRUE(both.of_ids.before.empty());
  const Framing none = choose_framing("config", open("mixtral.json", R"({"add_bos_token": false})"));
  EXPECT_TRUE(none.of_text.before.empty());
  const Framing unsaid = choose_framing("config", open("mixtral.json", R"({"add_bos_token": null})"));
  EXPECT_TRUE(unsaid.of_text.before.empty());
  EXPECT_NE(unsaid.why.find("says no add_bos_token"), std::string::npos) << unsaid.why;
}

TEST_F(FramingTest, AnIdStandsBeforeAllRecords) {
  const Framing framing = choose_framing("7", open("mixtral.json"));
  EXPECT_EQ(framing.of_text.before, Ids{7});
  EXPECT_EQ(framing.of_ids.before, Ids{7});
  EXPECT_EQ(framing.empty_context, 1);  // the tokenizer's own
  const Framing none = choose_framing("none", open("mixtral.json"));
  EXPECT_TRUE(none.of_text.before.empty() && none.of_ids.before.empty());
}

TEST_F(FramingTest, AnEmptyContextIsBosElseEos) {
  EXPECT_EQ(choose_framing("none", open("qwen3.json", R"({"bos_token": null, "eos_token": "<mask>"})")).empty_context,
            361);
  const Framing bos = choose_framing("none", open("qwen3.json", R"({"bos_token": "<|end|>", "eos_token": "<mask>"})"));
  EXPECT_EQ(bos.empty_context, 360);
  EXPECT_EQ(bos.why_empty_context, "the tokenizer's BOS, 360 \"<|end|>\"");
  const Framing map = choose_framing("none", open("qwen3.json", "{}", R"({"eos_token": {"content": "<mask>"}})"));
  EXPECT_EQ(map.empty_context, 361);
  EXPECT_EQ(choose_framing("none", *open_tokenizer("bytes")).empty_context, std::nullopt);
}

TEST_F(FramingTest, WhatDoesNotFitIsNamed) {
  const char* unknown = R"({"bos_token": "<bos>", "eos_token": "<mask>", "add_bos_token": true})";
  EXPECT_TRUE(fails_input({"tokenizer_config.json", "bos_token", "\"<bos>\" is no token"},
                          [&] { choose_framing("config", open("qwen3.json", unknown)); }));
  EXPECT_EQ(choose_framing("none", open("qwen3.json", unknown)).empty_context, 361) << "nothing of it is needed";
  EXPECT_TRUE(fails_input({"add_bos_token", "names no bos_token"},
                          [&] { choose_framing("config", open("qwen3.json", R"({"add_bos_token": true})")); }));
  EXPECT_TRUE(fails_input({"add_bos_token", "true or false"},
                          [&] { choose_framing("none", open("qwen3.json", R"({"add_bos_token": 1})")); }));
  EXPECT_TRUE(fails_input({"tokenizer_config.json", "expected an object"},
                          [&] { choose_framing("none", open("qwen3.json", "[]")); }));
  for (const char* word : {"", "Auto", "-1", "2147483648", "1x"})
    EXPECT_TRUE(fails(ExitCode::usage, {"auto, config, none"}, [&] { choose_framing(word, open("gpt2.json", "{}")); }))
        << word;
}

TEST_F(FramingTest, TokenizersAreOpenedByWhatTheyAre) {
  EXPECT_EQ(open_tokenizer("bytes")->kind(), "bytes");
  EXPECT_EQ(open("qwen3.json").kind(), "tokenizer.json");
  EXPECT_EQ(open_tokenizer((directory_ / "tokenizer.json").string())->hash(), tokenizer_->hash());
  EXPECT_TRUE(fails(ExitCode::usage, {"gpt2", "expected bytes, bins:COUNT:LOW:HIGH"}, [] { open_tokenizer("gpt2"); }));
  const test::TemporaryDirectory other;
  EXPECT_TRUE(fails(ExitCode::usage, {"has no tokenizer.json"}, [&] { open_tokenizer(other.path().string()); }));
  other.write("tokenizer.model", "x");
  EXPECT_TRUE(
      fails_input({"tokenizer.model", "expected a tokenizer.json"}, [&] { open_tokenizer(other.path().string()); }));
  const auto tiktoken = other.write("o200k.tiktoken", "IQ== 0\nIg== 1\n");
  EXPECT_TRUE(fails_input({"o200k.tiktoken", "expected a tokenizer.json", "found text"},
                          [&] { open_tokenizer(tiktoken.string()); }));
}

TEST(Bytes, AreTheirOwnIds) {
  const auto bytes = open_tokenizer("bytes");
  Ids ids;
  bytes->encode(std::string_view("a\0\xff", 3), ids);
  EXPECT_EQ(ids, (Ids{97, 0, 255}));
  EXPECT_EQ(bytes->decode(ids), std::string("a\0\xef\xbf\xbd", 5));
  EXPECT_EQ(bytes->piece(255), "\xff");
  EXPECT_EQ(bytes->piece(256), std::nullopt);
  EXPECT_EQ(bytes->id_of("\xff"), 255);
}

}  // namespace
}  // namespace switchyard
