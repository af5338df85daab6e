// Byte pair encoding of words, as Hugging Face's model "BPE" does it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/merge_table.h"
#include "tokens/merges.h"
#include "tokens/token_table.h"
#include "tokens/word_table.h"

namespace switchyard {

struct BpeModel {
  TokenTable tokens;  ///< as the file spells them
  MergeTable merges;  ///< ranks: their place in the file
  std::optional<std::string> unk_token;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  bool byte_level = false;  ///< words are bytes, of which the vocabulary has GPT-2's characters
};

/// What a thread keeps from word to word. It may be used with one Bpe after another: it knows whose words it has.
class BpeScratch {
 public:
  BpeScratch();

 private:
  friend class Bpe;
  static constexpr size_t kCachedWords = 16384;  ///< a power of 2
  static constexpr size_t kMostCachedBytes = 64;
  struct Cached {
    std::string word;
    std::vector<int32_t> ids;
  };
  uint64_t owner_ = 0;
  std::vector<Cached> cache_;  ///< by the word's hash; a newer word takes the place of an older one
  std::vector<int32_t> tokens_;
  MergeScratch merging_;
};

/// Immutable but for what it remembers, and safe to use from several threads, each with a scratch of its own.
class Bpe {
 public:
  explicit Bpe(BpeModel model);

  /// Appends the ids of a word (not empty), behind whose start WordKey::kReadable bytes can be read. Fails (input)
  /// where the word needs the unknown token and the vocabulary does not have it.
  void encode(std::string_view word, std::vector<int32_t>& ids, BpeScratch& scratch) const;

  const TokenTable& tokens() const { return model_.tokens; }
  bool byte_level() const { return model_.byte_level; }
  /// A token of a byte-level vocabulary as bytes: what its characters stand for, where all stand for bytes.
  std::string bytes_of(int32_t id) const;

 private:
  void index_words();
  bool spaces_begin_words() const;
  void encode_part(std::string_view word, std::vector<int32_t>& ids, BpeScratch& scratch) const;
  bool is_whole(WordTable::Slot& slot, std::string_view word, BpeScratch& scratch) const;
  const std::vector<int32_t>& remembered(std::string_view word, BpeScratch& scratch) const;
  const std::vector<int32_t>& merged(std::string_view word, BpeScratch& scratch) const;
  void first_tokens(std::string_view word, std::vector<int32_t>& tokens) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& tokens) const;
  int32_t token_of_character(std::string_view character) const;

  BpeModel model_;
  uint64_t serial_;
  TokenTable long_words_;  ///< byte level, merges ignored: tokens longer than WordKey::kMostBytes, as bytes
  std::unique_ptr<WordTable> short_words_;
  std::array<int32_t, 256>
      byte_tokens_;                    ///< byte level: of a byte; otherwise of an ASCII character. kNone: there is none
  std::array<int32_t, 256> fallback_;  ///< "<0x00>" to "<0xFF>"
  int32_t unk_id_ = TokenTable::kNone;
  bool cut_before_spaces_ = false, bytes_are_tokens_ = false;  ///< bytes_are_tokens_: byte level, each has one
};

/// GPT-2's characters for bytes: each byte has one, of at most two bytes, that is neither white space nor a control.
std::string byte_to_character(unsigned char byte);
/// The bytes that a text of such characters stands for; empty optional if another character is in it.
std::optional<std::string> characters_to_bytes(std::string_view text);

}  // namespace switchyard
