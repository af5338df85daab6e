// Text to token ids.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct Tokenizer {
  std::string_view name, help;
  std::string hash() const;  ///< of what its ids depend on (TokenizerIdentity)
  /// Appends the ids of `text`. May be called block by block: the ids of a text are those of its blocks, joined.
  void (*encode)(std::string_view text, std::vector<int32_t>& ids);
};

std::span<const Tokenizer> tokenizers();
const Tokenizer& find_tokenizer(std::string_view name);  ///< fails (usage), naming the known ones

}  // namespace switchyard
