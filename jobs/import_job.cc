#include "jobs/import_job.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "base/log.h"
#include "io/input.h"
#include "io/json.h"
#include "io/jsonl_source.h"
#include "io/npy_source.h"
#include "io/piece_reader.h"
#include "io/temporary_file.h"
#include "io/text_source.h"
#include "io/tokenizer.h"

namespace switchyard {
namespace {

std::string rejects_path_of(const ImportOptions& options) {
  return options.output + ".rejects.jsonl";
}

std::vector<std::string> sources_of(const ImportOptions& options) {
  std::vector<std::string> sources = options.text;
  sources.insert(sources.end(), options.jsonl.begin(), options.jsonl.end());
  sources.insert(sources.end(), options.npy.begin(), options.npy.end());
  return sources;
}

void check_range(std::string_view option, int64_t value, int64_t min, int64_t max) {
  if (value < min || value > max)
    fail(ExitCode::usage, "{} {}: expected an integer in {} … {}", option, value, min, max);
}

std::unique_ptr<DocumentSource> open_source(const ImportOptions& options) {
  const Tokenizer& tokenizer = find_tokenizer(options.tokenizer);
  if (!options.text.empty())
    return std::make_unique<TextSource>(options.text, tokenizer, static_cast<uint64_t>(options.max_document_bytes));
  if (!options.jsonl.empty())
    return std::make_unique<JsonlSource>(options.jsonl, tokenizer, static_cast<uint64_t>(options.max_line_bytes));
  return std::make_unique<NpySource>(options.npy[0], options.npy[1]);
}

/// The rejects, written as they come; there is no file without any.
class RejectWriter {
 public:
  explicit RejectWriter(const std::string& path) : path_(path), temporary_(path) {}

  void add(const Document& document) {
    if (!file_.is_open()) file_.open(temporary_.path());
    Json line{{"source", path_to_json(document.source)}};
    if (document.line) line["line"] = *document.line;
    if (document.record) line["record"] = *document.record;
    line["reason"] = document.reject;
    file_ << to_text(line) << '\n';
    check_written();
    ++count_;
  }

  int64_t count() const { return count_; }

  /// Ends the file, but does not show it yet.
  void close() {
    if (count_ == 0) return;
    file_.close();
    check_written();
  }

  void publish() {
    if (count_ > 0) return temporary_.publish();
    std::error_code error;
    std::filesystem::remove(path_, error);
    if (error) fail(ExitCode::output, "cannot remove {}: {}", path_, error.message());
  }

 private:
  void check_written() const {
    if (!file_) fail_errno(ExitCode::output, "cannot write", temporary_.path().native());
  }
  std::string path_;
  TemporaryFile temporary_;
  std::ofstream file_;
  int64_t count_ = 0;
};

/// Why a record of context and continuation cannot be taken, or nothing.
std::string reason_against(const Document::Fixed& fixed, const ImportOptions& options) {
  const int64_t num_bos = options.bos >= 0 ? 1 : 0;
  if (fixed.context + num_bos == 0)
    return "empty context: the first token has nothing to follow (give a context, or a start token with --bos)";
  if (fixed.tokens + num_bos > options.max_tokens)
    return fmt::format("{} tokens: expected at most {}; a record with a context is not split (--max-tokens)",
                       fixed.tokens + num_bos, options.max_tokens);
  return {};
}

/// Adds the document as one record or, split, as several. Returns how many.
int64_t add_document(DocumentSource& source, const Document& document, const ImportOptions& options,
                     ScoringInputWriter& writer) {
  PieceReader pieces({options.max_tokens, options.overlap, options.bos},
                     [&](std::span<int32_t> out) { return source.read(out); });
  Piece piece;
  while (pieces.next(piece)) {
    const bool split = piece.index > 0 || !piece.last;
    if (document.fixed) piece.context = document.fixed->context + (options.bos >= 0 ? 1 : 0);
    writer.add(piece.tokens, static_cast<int32_t>(piece.context),
               split ? fmt::format("{}#{}", document.id, piece.index) : document.id, document.label);
    if (piece.last) return piece.index + 1;
  }
  return 0;
}

std::optional<TokenizerIdentity> identity_of(const std::string& tokenizer) {
  return TokenizerIdentity{tokenizer, find_tokenizer(tokenizer).hash()};
}

void log_notes(const ImportOptions& options, const ImportSummary& summary, int64_t num_split) {
  if (options.bos < 0 && options.overlap == 0 && num_split > 0)
    log::info(
        "import: {} documents were split without --overlap and --bos: the first token of each piece is given, not "
        "scored",
        num_split);
  if (summary.records == 0) log::warning("import: {} has no records", options.output);
}

}  // namespace

void check_import_options(const ImportOptions& options) {
  const int num_kinds = !options.text.empty() + !options.jsonl.empty() + !options.npy.empty();
  if (num_kinds != 1)
    fail(ExitCode::usage, "import: expected exactly one of --text, --jsonl, --npy, found {}",
         num_kinds == 0 ? "none" : "several");
  if (!options.npy.empty() && options.npy.size() != 2)
    fail(ExitCode::usage, "--npy: expected two files, token ids and offsets, found {}", options.npy.size());
  if (options.output.empty()) fail(ExitCode::usage, "import: --output is missing");
  const int64_t num_bos = options.bos >= 0 ? 1 : 0;
  check_range("--bos", options.bos, -1, kMaxTokenId);
  check_range("--max-tokens", options.max_tokens, 2, INT32_MAX);
  check_range("--overlap", options.overlap, 0, options.max_tokens - num_bos - 1);
  check_range("--max-rejects", options.max_rejects, 0, INT64_MAX);
  check_range("--max-line-bytes", options.max_line_bytes, 1, INT64_MAX);
  check_range("--max-document-bytes", options.max_document_bytes, 1, INT64_MAX);
  find_tokenizer(options.tokenizer);
  for (const std::string& source : sources_of(options))
    for (const std::string& written : {options.output, rejects_path_of(options)}) {
      std::error_code ignored;  // files that do not exist are not the same file
      if (std::filesystem::equivalent(source, written, ignored))
        fail(ExitCode::usage, "import: {} would be overwritten by the output {}", source, written);
    }
}

ImportSummary run_import(const ImportOptions& options) {
  check_import_options(options);
  const std::unique_ptr<DocumentSource> source = open_source(options);
  ScoringInputWriter writer(options.output, !options.jsonl.empty());
  RejectWriter rejects(rejects_path_of(options));
  ImportSummary summary;
  int64_t num_split = 0;
  Document document;
  while (source->next(document)) {
    if (document.reject.empty() && document.fixed) document.reject = reason_against(*document.fixed, options);
    if (!document.reject.empty()) {
      rejects.add(document);
      continue;
    }
    ++summary.documents;
    if (add_document(*source, document, options, writer) > 1) ++num_split;
  }
  rejects.close();
  writer.finish(source->encoded_text() ? identity_of(options.tokenizer) : std::nullopt);
  rejects.publish();

  summary.records = writer.num_records();
  summary.tokens = writer.num_tokens();
  summary.rejects = rejects.count();
  if (summary.rejects > 0) summary.rejects_path = rejects_path_of(options);
  if (summary.rejects > options.max_rejects) summary.exit_code = ExitCode::too_many_rejects;
  log_notes(options, summary, num_split);
  return summary;
}

}  // namespace switchyard
