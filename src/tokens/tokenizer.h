// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct EncodeOptions {
  /// Whether what spells a special token in a text is that token, as for Hugging Face. Otherwise it is text; added
  /// tokens that are not special are found all the same.
  bool special_in_text = true;
};

/// Token ids around a text.
struct TokenFrame {
  std::vector<int32_t> before, behind;
};

/// Immutable, and safe to use from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string kind() const = 0;  ///< "bytes", or the kind of file that it was read from
  virtual std::string name() const = 0;  ///< for people: "bytes", or that file
  virtual std::string hash() const = 0;  ///< of what its ids depend on (TokenizerIdentity)

  /// Appends the ids of a text, without the frame. Returns how many spellings of special tokens were left as text.
  /// Fails (input) on a text that it cannot take.
  virtual int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options = {}) const = 0;
  /// What it puts around every text ("add_special_tokens").
  virtual TokenFrame frame() const { return {}; }
  /// Whether the ids of a text are those of its parts, joined: then it may be larger than memory.
  virtual bool streams() const { return false; }

  /// The text of ids; those that are no token are left out. Bytes that are no UTF-8 become U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  /// A token's own bytes, which may be part of a character; empty optional: no such token.
  virtual std::optional<std::string> piece(int32_t id) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;  ///< as the file spells it
  virtual int64_t vocabulary_size() const = 0;                             ///< ids are below it
};

/// "bytes" (a byte is its own id), "bins:256:-7:-2" (numbers: bins.h), a tokenizer.json of Hugging Face, or a directory
/// that has one. Fails: usage where there is no such thing, input where it is not supported, naming what.
std::unique_ptr<const Tokenizer> open_tokenizer(const std::string& choice);

/// Whether open_tokenizer() needs no file for it.
bool is_built_in_tokenizer(const std::string& choice);

/// Where a directory's tokenizer is: the first of the files that loaders take; empty: it has none.
std::string tokenizer_file_in(const std::string& directory);

}  // namespace switchyard
