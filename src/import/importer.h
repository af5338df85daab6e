// From files of text, tables or arrays to records: read by one thread at a time, encoded by several, handed on in
// order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/document_source.h"
#include "import/pieces.h"
#include "import/record_reader.h"
#include "tokens/tokenizer.h"

namespace switchyard {

enum class Format : uint8_t { jsonl, text, csv, tsv, npy };
std::string_view name_of(Format format);

struct SourceFile {
  std::string path;
  Format format = Format::jsonl;
  std::string offsets = {};  ///< of arrays (npy): the second file
};

/// What decides, beside the sources' bytes and the tokenizer, which records they become.
struct ImportRules {
  FieldNames fields;
  std::vector<std::string> columns = {};  ///< of tables whose rows are a series of numbers; none: a row is a document
  std::string bos = "auto";               ///< see choose_framing
  bool special_in_text = false;
  int64_t max_tokens = 1024;  ///< of a record, what is put around it included; longer documents are split
  int64_t overlap = 0;        ///< tokens of a piece that the next one repeats as context
  bool join = false;          ///< pieces are windows of a document, whose results are joined: SplitOptions::windows
  int64_t max_line_bytes = int64_t{64} << 20;
  int64_t max_document_bytes = int64_t{256} << 20;  ///< of a text, where the tokenizer has to see it as a whole
};

/// Takes what an importer makes, in order, from one thread.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void record(std::span<const int32_t> tokens, int64_t context, const std::string& id,
                      const std::string& label) = 0;
  virtual void end_document() = 0;  ///< after its records
  virtual void reject(const Document& document) = 0;
};

struct ImportCounts {
  int64_t documents = 0, records = 0, tokens = 0, rejects = 0;  ///< documents: accepted ones
  int64_t split = 0;                                            ///< documents of several records
  int64_t longest = 0;                                          ///< record
  int64_t empty_contexts = 0, spellings_left = 0;
  bool any_text = false;
};

/// What each is called in ids.
std::vector<std::string> names_of(const std::vector<SourceFile>& sources);

class Importer {
 public:
  /// poll: called as sources are read; may fail. Fails (usage, input) where the rules do not fit the tokenizer.
  Importer(std::vector<SourceFile> sources, ImportRules rules, const Tokenizer& tokenizer, int threads,
           std::function<void()> poll = {});
  ~Importer();

  /// Once. Fails (input) on a source that cannot be read, and as the sink does.
  const ImportCounts& run(RecordSink& sink);

  const ImportCounts& counts() const { return counts_; }
  const Framing& framing() const { return encode_rules_.framing; }
  /// Of the sources read, but for arrays.
  const std::vector<SourceIdentity>& sources() const { return identities_; }
  void log_notes() const;  ///< what a person should know of it

 private:
  struct Batch;
  bool read(Batch& batch);
  void take(Document& document);
  void put_frame(Document& document, const TokenFrame& frame) const;
  void add_record(std::span<const int32_t> tokens, int64_t context, const std::string& id);
  void note_other_fields(const Document& document);
  std::unique_ptr<DocumentSource> open(size_t i) const;

  const std::vector<SourceFile> sources_;
  const ImportRules rules_;
  const Tokenizer& tokenizer_;
  const int threads_;
  const std::function<void()> poll_;
  EncodeRules encode_rules_;
  std::vector<std::string> names_;

  std::shared_ptr<DocumentSource> current_;
  size_t next_source_ = 0;
  std::vector<SourceIdentity> identities_;

  RecordSink* sink_ = nullptr;
  PieceSplitter splitter_;
  Document document_;  ///< whose pieces come, without its tokens
  ImportCounts counts_;
  std::set<std::string> named_fields_;
};

}  // namespace switchyard
