// A file tokenizer.json: its vocabulary and merges, and everything else as a document.
#pragma once

#include <string>
#include <string_view>

#include "io/json.h"
#include "tokens/bpe.h"

namespace switchyard {

struct TokenizerFile {
  Json document;   ///< without model.vocab and model.merges
  BpeModel model;  ///< of type BPE; byte_level is not set yet
};

/// Fails (input) with `subject`: what parse_json does not take; another model than BPE or an option of it that is not
/// supported; ids twice or too large; merges of tokens that are not there. Takes memory in proportion to the text.
TokenizerFile parse_tokenizer_file(std::string_view text, const std::string& subject);

}  // namespace switchyard
