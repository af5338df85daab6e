// What is put around a text's tokens, and what an empty context is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokens/tokenizer.h"

namespace switchyard {

/// The files' own words about beginnings and ends: "bos_token" and "eos_token" of tokenizer_config.json (or, where it
/// names none, of special_tokens_map.json) beside the tokenizer, and whether texts get them.
struct EndTokens {
  std::optional<int32_t> bos = {}, eos = {};
  std::optional<bool> add_bos = {}, add_eos = {};  ///< "add_bos_token", "add_eos_token"; empty: not said
  std::string unknown_bos = {}, unknown_eos = {};  ///< named, but no token of the tokenizer's own
};
/// Fails (input) on files that do not fit.
EndTokens read_end_tokens(const Tokenizer& tokenizer);

struct Framing {
  TokenFrame of_text;
  TokenFrame of_ids;  ///< of records that come as token ids
  std::string why;    ///< for the log: what is put around texts, and who says so

  /// What stands for a context without tokens, as lm-evaluation-harness has it: the tokenizer's BOS, else its EOS.
  /// Empty where it has neither.
  std::optional<int32_t> empty_context;
  std::string why_empty_context;
};

/// bos: "auto" (what the tokenizer itself puts around a text), "config" (what add_bos_token and add_eos_token say, as
/// transformers 4 did), "none", or a token's id, which is put before all records, also those of ids. Fails: usage on
/// other words, input on files that do not fit.
Framing choose_framing(std::string_view bos, const Tokenizer& tokenizer);

/// Whether it is one of those words, or an id.
bool is_bos_choice(std::string_view bos);

}  // namespace switchyard
