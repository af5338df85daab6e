// A tokenizer.json of Hugging Face: the ids that their library `tokenizers` 0.23.3 gives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/tokenizer.h"
#include "tokens/added_tokens.h"
#include "tokens/bpe.h"
#include "tokens/decoder.h"
#include "tokens/normalizer.h"
#include "tokens/post_processor.h"
#include "tokens/pre_tokenizer.h"

namespace switchyard {

struct EncodeOptions {
  /// Whether what spells a special token in a text is that token, as for Hugging Face. Otherwise it is text; added
  /// tokens that are not special are found all the same.
  bool special_in_text = true;
};

/// Immutable, and safe to use from several threads: each has memory of its own for what it works on.
class HfTokenizer : public Tokenizer {
 public:
  /// Fails (input) for a file that cannot be read, is no tokenizer.json, or has what is not supported, naming it.
  static std::unique_ptr<HfTokenizer> load(const std::filesystem::path& path);
  /// Of a file's content; `name` stands for it in errors.
  HfTokenizer(std::string_view json, std::string name);

  std::string name() const override { return name_; }
  std::string hash() const override { return hash_; }  ///< of the file's bytes
  void encode(std::string_view text, std::vector<int32_t>& ids) const override { encode(text, ids, {}); }

  /// Appends the ids of a text without what the post-processor adds. Returns how many spellings of special tokens were
  /// left as text. Fails (input): the text is not UTF-8, or needs an unknown token that is not there.
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options) const;
  /// With what the post-processor adds ("add_special_tokens").
  std::vector<int32_t> post_process(const std::vector<int32_t>& ids) const { return post_processor_.process(ids); }
  std::optional<int32_t> bos() const { return post_processor_.first(); }  ///< that it puts before every text
  std::optional<int32_t> eos() const { return post_processor_.last(); }   ///< and behind it

  /// The text of ids; those that are no token are left out. Bytes that are no UTF-8 become U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;
  /// A token's own bytes, which may be part of a character; empty optional: no such token.
  std::optional<std::string> piece(int32_t id) const;
  int64_t vocabulary_size() const;  ///< ids are below it
  const AddedTokens& added_tokens() const { return added_tokens_; }

 private:
  struct Scratch;
  void encode_raw(std::string_view text, bool at_start, const EncodeOptions& options, std::vector<int32_t>& ids,
                  int64_t& left_as_text, Scratch& scratch) const;
  void encode_words(std::string_view text, bool at_start, std::vector<int32_t>& ids, Scratch& scratch) const;

  std::string name_, hash_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokens added_tokens_;
  std::unique_ptr<Bpe> bpe_;
  PostProcessor post_processor_;
  Decoder decoder_;
};

}  // namespace switchyard
