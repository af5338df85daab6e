// Tokenizers of tests/data/tokenizers, or of another folder of the same kind, and what Hugging Face makes of texts.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokens/hf_tokenizer.h"

namespace switchyard::tests {

inline std::filesystem::path tokenizer_data() {
  return std::filesystem::path(SWITCHYARD_TEST_DATA) / "tokenizers";
}

/// NAME.json, and NAME.jsonl with what Hugging Face makes of texts.
inline constexpr const char* kFamilies[] = {"qwen3", "qwen3.5",      "cl100k",  "o200k",   "deepseek-v3", "deepseek-v2",
                                            "gpt2",  "prefix-space", "mixtral", "mistral", "metaspace",   "flags"};

struct Reference {
  std::string text;
  std::vector<int32_t> ids, ids_special;
  std::optional<std::vector<int32_t>> ids_plain;  ///< special tokens left as text
  std::optional<std::string> decoded;             ///< of ids_special
};

/// Of JSON lines. Absent ids_special: as ids; where `plain_is_there` absent ids_plain, too.
std::vector<Reference> read_references(const std::string& lines, bool plain_is_there);

/// Compares ids, ids with special tokens and, where the reference has it, the decoded text.
void expect_references(const HfTokenizer& tokenizer, const std::vector<Reference>& references);

/// What ends with "error: " and the message of the Error that `action` throws; "no error".
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input) << error.what();
    return error.what();
  }
  return "no error";
}

}  // namespace switchyard::tests
