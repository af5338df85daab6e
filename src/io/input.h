// The scoring input: ragged token ids, with optional context lengths, ids and labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/hdf5.h"
#include "io/temporary_file.h"

namespace switchyard {

/// Which tokenizer made an input's tokens: the root group's attributes `tokenizer` and `tokenizer_hash`.
struct TokenizerIdentity {
  static constexpr std::string_view kKind = "tokenizer", kHash = "tokenizer_hash";  ///< the attributes
  std::string kind;  ///< "bytes", or what kind of file it was read from
  std::string hash;  ///< XXH3-128 of that file's bytes, 32 hexadecimal digits; of "bytes" that of the word
};

/// Reads tokens/values, tokens/offsets [n+1] and, if there, context, id, label. The structure is checked on opening
/// (shapes, kinds, first and last offset); offsets are checked as they are read. Only what is asked for is in memory.
class ScoringInput {
 public:
  explicit ScoringInput(const std::filesystem::path& path);

  int64_t num_records() const { return num_records_; }
  int64_t num_tokens() const { return num_tokens_; }
  bool has_ids() const { return id_.has_value(); }
  bool ids_are_strings() const;
  const std::filesystem::path& path() const { return path_; }
  const std::optional<TokenizerIdentity>& tokenizer() const { return tokenizer_; }  ///< empty: the input does not say

  struct Record {
    int64_t index;   ///< in the input
    int64_t first;   ///< its first token in tokens/values
    int64_t length;  ///< tokens
    int64_t context;
  };
  /// Records [first, first + count); fails (input) on offsets that decrease or leave the file.
  std::vector<Record> records(int64_t first, int64_t count) const;
  /// A record's token ids, widened to i64 so that hostile ids survive to be rejected.
  void tokens(const Record& record, std::vector<int64_t>& out) const;
  /// tokens/values from `first` on, whatever records they belong to.
  void token_range(int64_t first, std::span<int64_t> out) const;
  const std::optional<h5::Dataset>& ids() const { return id_; }  ///< strings or integers; see RecordIds

 private:
  std::filesystem::path path_;
  h5::Reader reader_;
  h5::Dataset values_, offsets_;
  std::optional<h5::Dataset> context_, id_, label_;
  std::optional<TokenizerIdentity> tokenizer_;
  int64_t num_records_ = 0, num_tokens_ = 0;
};

/// Writes that format, streaming; the file appears under its name only when finish() has succeeded.
class ScoringInputWriter {
 public:
  ScoringInputWriter(const std::filesystem::path& path, bool with_labels);
  void add(std::span<const int32_t> tokens, int32_t context, const std::string& id, const std::string& label);
  int64_t num_records() const { return num_records_; }
  int64_t num_tokens() const { return num_tokens_; }
  /// tokenizer: of those tokens that were made from text, if any were.
  void finish(const std::optional<TokenizerIdentity>& tokenizer = {});

 private:
  void flush();
  TemporaryFile temporary_;
  h5::Writer writer_;
  h5::Writer::Stream values_, offsets_, contexts_, ids_, labels_;
  bool with_labels_ = false;
  int64_t num_records_ = 0, num_tokens_ = 0;
  std::vector<int32_t> pending_tokens_, pending_contexts_;
  std::vector<int64_t> pending_offsets_;
  std::vector<std::string> pending_ids_, pending_labels_;
};

}  // namespace switchyard
