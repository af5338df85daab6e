// Text to token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  virtual std::string hash() const = 0;  ///< of what its ids depend on (TokenizerIdentity)
  /// Appends the ids of a whole text.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  /// Whether the ids of a text are those of its parts, joined: then it may be larger than memory.
  virtual bool streams() const { return false; }
};

const Tokenizer& find_tokenizer(std::string_view name);  ///< fails (usage), naming the known ones

}  // namespace switchyard
