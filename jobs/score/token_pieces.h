// What token ids are as text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "io/input.h"

namespace switchyard {

struct TokenPieces {
  int64_t count = 0;  ///< ids are below it
  std::function<std::string(int32_t id)>
      of;  ///< the token's own bytes, maybe part of a character; empty: no such token

  int64_t bytes() const;  ///< that they take in results
};

/// Of the tokenizer that made the input's tokens: `tokenizer` (see open_tokenizer) unless it is empty; or bytes, where
/// the input says so; or else the model's tokenizer.json. vocab_size: the model's. Fails (usage) when there is none, or
/// the input names another one.
TokenPieces find_token_pieces(const ScoringInput& input, const std::string& model, const std::string& tokenizer,
                              int64_t vocab_size);

}  // namespace switchyard
