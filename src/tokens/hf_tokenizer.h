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

#include "tokens/added_tokens.h"
#include "tokens/bpe.h"
#include "tokens/decoder.h"
#include "tokens/normalizer.h"
#include "tokens/post_processor.h"
#include "tokens/pre_tokenizer.h"
#include "tokens/tokenizer.h"

namespace switchyard {

/// Each thread has memory of its own for what it works on.
class HfTokenizer : public Tokenizer {
 public:
  /// Fails (input) for a file that cannot be read, is no tokenizer.json, or has what is not supported, naming it.
  static std::unique_ptr<HfTokenizer> load(const std::filesystem::path& path);
  /// Of a file's content; `name` stands for it in errors.
  HfTokenizer(std::string_view json, std::string name);

  std::string kind() const override { return "tokenizer.json"; }
  std::string name() const override { return name_; }
  std::string hash() const override { return hash_; }  ///< of the file's bytes

  /// Fails (input): the text is not UTF-8, or needs an unknown token that is not there.
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options = {}) const override;
  /// As the post-processor says.
  TokenFrame frame() const override { return post_processor_.frame(); }
  std::string decode(std::span<const int32_t> ids) const override;
  std::optional<std::string> piece(int32_t id) const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  int64_t vocabulary_size() const override;
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
