// The scoring input: ragged token ids, with optional context lengths, ids and labels, and the documents that they are
// pieces of.
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

/// Reads tokens/values, tokens/offsets [n+1] and, if there, context, id, label and documents/offsets [d+1]. The
/// structure is checked on opening (shapes, kinds, first and last offset); offsets are checked as they are read. Only
/// what is asked for is in memory.
class ScoringInput {
 public:
  static constexpr std::string_view kOrigin = "origin";  ///< the dataset: bytes

  explicit ScoringInput(const std::filesystem::path& path);

  int64_t num_records() const { return num_records_; }
  int64_t num_tokens() const { return num_tokens_; }
  bool has_ids() const { return id_.has_value(); }
  bool ids_are_strings() const;
  bool joined() const { return documents_.has_value(); }    ///< records are pieces of documents, which results are of
  int64_t num_documents() const { return num_documents_; }  ///< unless joined every record is one
  const std::filesystem::path& path() const { return path_; }
  const std::optional<TokenizerIdentity>& tokenizer() const { return tokenizer_; }  ///< empty: the input does not say

  /// What it was imported from, as whoever did it put it down (JSON); empty: not said.
  std::string origin() const;
  /// Datasets that have no meaning here.
  std::vector<std::string> other_datasets() const;

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
  /// [count + 1]: document first + i is records [offsets[i], offsets[i+1]), at least one. Fails (input) where it is
  /// not.
  std::vector<int64_t> document_offsets(int64_t first, int64_t count) const;

 private:
  std::filesystem::path path_;
  h5::Reader reader_;
  h5::Dataset values_, offsets_;
  std::optional<h5::Dataset> context_, id_, label_, documents_;
  std::optional<TokenizerIdentity> tokenizer_;
  int64_t num_records_ = 0, num_tokens_ = 0, num_documents_ = 0;
};

/// What an input has beyond tokens, contexts and ids.
struct InputExtras {
  bool labels = false;
  bool documents = false;
};

/// Writes that format, streaming; the file appears under its name only when finish() has succeeded.
class ScoringInputWriter {
 public:
  explicit ScoringInputWriter(const std::filesystem::path& path, const InputExtras& extras = {});
  void add(std::span<const int32_t> tokens, int32_t context, const std::string& id, const std::string& label);
  /// With documents, after the last piece of each: the records since the one before, at least one, all with its id.
  void end_document();
  int64_t num_records() const { return num_records_; }
  int64_t num_tokens() const { return num_tokens_; }
  /// tokenizer: of those tokens that were made from text, if any were. origin: see ScoringInput; empty: not said.
  void finish(const std::optional<TokenizerIdentity>& tokenizer = {}, const std::string& origin = {});

 private:
  void flush();
  TemporaryFile temporary_;
  h5::Writer writer_;
  h5::Writer::Stream values_, offsets_, contexts_, ids_, labels_, documents_;
  InputExtras extras_;
  int64_t num_records_ = 0, num_tokens_ = 0;
  int64_t document_begin_ = 0;  ///< record
  std::vector<int32_t> pending_tokens_, pending_contexts_;
  std::vector<int64_t> pending_offsets_, pending_documents_;
  std::vector<std::string> pending_ids_, pending_labels_;
};

}  // namespace switchyard
