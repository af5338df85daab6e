// Files that are refused: what is named, and that nothing worse happens.
#include "tokens/tokenizer_file.h"

#include "base/error.h"
#include "base/text.h"
#include "io/file.h"
#include "tests/tokens/fixtures.h"

namespace switchyard {
namespace {

constexpr std::string_view kSmall = R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
{"id": 4, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
"normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
"model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
"byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3}, "merges": [["a", "b"], ["ab", "a"]]}})";

struct Case {
  std::string_view from, to;  ///< what of kSmall is replaced
  std::string_view expected;  ///< part of the message
};

class Refused : public testing::TestWithParam<Case> {};

TEST_P(Refused, NamingFieldAndValue) {
  const std::string text = replaced(std::string(kSmall), GetParam().from, GetParam().to);
  ASSERT_NE(text, kSmall);
  const std::string error = tests::error_of([&] { HfTokenizer(text, "FILE"); });
  EXPECT_NE(error.find(GetParam().expected), std::string::npos) << error;
  EXPECT_TRUE(error.starts_with("FILE: ")) << error;
}

constexpr std::string_view kNoNormalizer = R"("normalizer": null)", kNoPre = R"("pre_tokenizer": null)",
                           kNoPost = R"("post_processor": null)", kNoDecoder = R"("decoder": null)";
constexpr std::string_view kMerges = R"("merges": [["a", "b"], ["ab", "a"]])";

INSTANTIATE_TEST_SUITE_P(
    Files, Refused,
    testing::Values(
        Case{R"("type": "BPE")", R"("type": "Unigram")", R"(model: field "type": expected BPE, found "Unigram")"},
        Case{R"("dropout": null)", R"("dropout": 0.1)",
             R"(field "dropout": expected null or 0 (ids would be random), found 0.1)"},
        Case{R"("end_of_word_suffix": null)", R"("end_of_word_suffix": "</w>")",
             R"("end_of_word_suffix": expected null or "")"},
        Case{R"("fuse_unk": false)", R"("fuse_unk": 1)", R"("fuse_unk": expected true or false, found 1)"},
        Case{R"("fuse_unk": false)", R"("surprise": false)", R"(field "surprise" (false) is not known)"},
        Case{R"("truncation": null)", R"("truncation": {"max_length": 3})", R"("truncation": expected null)"},
        Case{R"("padding": null)", R"("padding": {})", R"("padding": expected null)"},
        Case{R"("version": "1.0")", R"("version": "2.0")", R"("version": expected "1.0", found "2.0")"},
        Case{R"("version": "1.0")", R"("version": "1.0", "extra": [1])",
             R"(field "extra" (an array of 1) is not known)"},
        Case{R"("aba": 3)", R"("aba": 3, "c": -1)", R"(model.vocab: "c": expected an integer)"},
        Case{R"("aba": 3)", R"("aba": 3, "c": 1.5)", R"(model.vocab: "c": expected an integer)"},
        Case{R"("aba": 3)", R"("aba": 3, "c": [1])", R"(model.vocab: "c": expected an integer)"},
        Case{R"("aba": 3)", R"("aba": 2147483648)", R"("aba": id 2147483648 is too large)"},
        Case{R"("aba": 3)", R"("aba": 100000)", R"("aba": id 100000 is too large)"},
        Case{R"("aba": 3)", R"("aba": 2)", R"("aba": this token or its id 2 is there twice)"},
        Case{R"("aba": 3)", R"("ab": 3)", R"("ab": this token or its id 3 is there twice)"},
        Case{R"({"a": 0, "b": 1, "ab": 2, "aba": 3})", "[1, 2]", R"(field "vocab" (an array of 2) is not known)"},
        Case{R"("vocab": )", R"("vocab": {"a": 0}, "vocab": )", R"(duplicate key "vocab")"},
        Case{R"("vocab": )", R"("vocabulary": )", R"(field "vocabulary" (an object of 4 fields) is not known)"},
        Case{kMerges, R"("merges": [["a", "c"]])", R"(model.merges[0]: "c" is not in the vocabulary)"},
        Case{kMerges, R"("merges": [["a", "b"], ["b", "b"]])", R"(model.merges[1]: "bb" is not in the vocabulary)"},
        Case{kMerges, R"("merges": ["a b", "ab"])", R"(model.merges[1]: expected "left right")"},
        Case{kMerges, R"("merges": ["a b c"])", R"(model.merges[0]: expected "left right")"},
        Case{kMerges, R"("merges": [["a"]])", R"(model.merges[0]: expected "left right")"},
        Case{kMerges, R"("merges": [["a", "b", "a"]])", "model.merges["},
        Case{kMerges, R"("merges": [{"a": "b"}])", R"(model.merges[0]: expected)"},
        Case{kMerges, R"("merges": {})", R"(field "merges" (an object of 0 fields) is not known)"},
        Case{R"("id": 4)", R"("id": "4")", R"(added_tokens[0]: field "id": expected an integer)"},
        Case{R"("lstrip": false)", R"("lstrip": 0)",
             R"(added_tokens[0]: field "lstrip": expected true or false, found 0)"},
        Case{R"("special": true)", R"("special": true, "more": 1)",
             R"(added_tokens[0]: field "more" (1) is not known)"},
        Case{kNoNormalizer, R"("normalizer": {"type": "Lowercase"})",
             R"(normalizer: field "type": expected one of NFC, Prepend, Replace, Sequence, found "Lowercase")"},
        Case{kNoNormalizer,
             R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]})",
             "normalizer.normalizers[1]: field"},
        Case{kNoNormalizer, R"("normalizer": {"type": "Replace", "pattern": {"Regex": "x*"}, "content": ""})",
             "matches no empty text"},
        Case{kNoNormalizer, R"("normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": ""})",
             R"(field "pattern": expected {"String": text})"},
        Case{kNoPre, R"("pre_tokenizer": {"type": "BertPreTokenizer"})", R"(found "BertPreTokenizer")"},
        Case{
            kNoPre,
            R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Han}"}, "behavior": "Isolated", "invert": false})",
            R"(\p{Han})"},
        Case{kNoPre,
             R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Odd", "invert": false})",
             R"("behavior": expected one of Isolated)"},
        Case{kNoPre, R"("pre_tokenizer": {"type": "Metaspace", "replacement": "__", "prepend_scheme": "first"})",
             R"("replacement": expected one character)"},
        Case{kNoPre, R"("pre_tokenizer": {"type": "Metaspace", "replacement": "_", "add_prefix_space": false})",
             R"("prepend_scheme": expected "never")"},
        Case{
            kNoPre,
            R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}, {"type": "Digits", "individual_digits": true}]})",
            "nothing is supported after ByteLevel"},
        Case{
            R"("normalizer": null, "pre_tokenizer": null)",
            R"("normalizer": {"type": "Prepend", "prepend": "_"}, "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"})",
            R"("prepend_scheme": expected "always" or "never")"},
        Case{kNoPost, R"("post_processor": {"type": "BertProcessing"})", R"(found "BertProcessing")"},
        Case{
            kNoPost,
            R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}})",
            R"(special_tokens has no "x")"},
        Case{kNoDecoder, R"("decoder": {"type": "WordPiece"})", R"(found "WordPiece")"},
        Case{kNoDecoder, R"("decoder": {"type": "Strip", "content": " ", "start": -1, "stop": 0})",
             R"("start": expected an integer of 0 or more)"}));

TEST(TokenizerFile, WhatIsCutOffIsRefused) {
  for (size_t size = 0; size < kSmall.size(); ++size)
    EXPECT_NE(tests::error_of([&] { HfTokenizer(kSmall.substr(0, size), "FILE"); }), "no error") << size;
}

TEST(TokenizerFile, OrdersAndSpellingsOfFieldsDoNotMatter) {
  const auto ids_of = [](const std::string& text) {
    std::vector<int32_t> ids;
    HfTokenizer(text, "FILE").encode("<s>abaab", ids);
    return ids;
  };
  const std::vector<int32_t> expected = {4, 3, 2};
  EXPECT_EQ(ids_of(std::string(kSmall)), expected);
  EXPECT_EQ(ids_of(replaced(std::string(kSmall), kMerges, R"("merges": ["#version: 0.2", "a b", "ab a"])")), expected);
  EXPECT_EQ(
      ids_of(
          R"({"model": {"merges": [["a", "b"], ["ab", "a"]], "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3}}, "added_tokens": [
    {"id": 9, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]})"),
      expected)
      << "an added token is numbered on from the vocabulary, whatever the file says";
}

TEST(TokenizerFile, ReplacementsThatWouldFillAnyMemoryAreRefused) {
  std::string steps;
  for (int i = 0; i < 60; ++i)
    steps +=
        std::string(i == 0 ? "" : ", ") + R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaa"})";
  const std::string text = replaced(std::string(kSmall), kNoNormalizer,
                                    R"("normalizer": {"type": "Sequence", "normalizers": [)" + steps + "]}");
  const HfTokenizer tokenizer(text, "FILE");
  std::vector<int32_t> ids;
  tokenizer.encode("b", ids);
  EXPECT_EQ(ids, std::vector<int32_t>{1});
  const std::string error = tests::error_of([&] { tokenizer.encode("a", ids); });
  EXPECT_NE(error.find("replacing makes"), std::string::npos) << error;
}

TEST(TokenizerFile, AFileThatIsNotThereIsNamed) {
  const std::string error = tests::error_of([] { HfTokenizer::load("/nowhere/tokenizer.json"); });
  EXPECT_NE(error.find("/nowhere/tokenizer.json"), std::string::npos) << error;
}

}  // namespace
}  // namespace switchyard
