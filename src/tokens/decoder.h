// From tokens back to text: the decoders ByteLevel, Metaspace, Replace, ByteFallback, Fuse and Strip, and sequences of
// them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/json.h"

namespace switchyard {

class Decoder {
 public:
  Decoder() = default;  ///< tokens with a space between them, as Hugging Face's without a decoder
  /// Fails (input) with `subject` for what is not supported, naming it. `component` may be null.
  Decoder(const Json& component, const std::string& subject);
  /// Of tokens as the file spells them. Bytes that are no text become U+FFFD.
  std::string decode(std::vector<std::string> tokens) const;
  /// What one token adds to a text, wherever it stands there; maybe a part of a character.
  std::string bytes_of(std::string token) const;

  class Step;

 private:
  void add(const Json& component, const std::string& subject);
  std::vector<std::shared_ptr<const Step>> steps_;
  bool joins_by_spaces_ = true;
};

}  // namespace switchyard
