#include "import/importer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/ordered_work.h"
#include "import/jsonl_source.h"
#include "import/npy_source.h"
#include "import/series_source.h"
#include "import/table_source.h"
#include "import/text_source.h"
#include "io/json.h"

namespace switchyard {
namespace {

constexpr size_t kMaxNamedFields = 32;
constexpr const char* kNothingScored = "the continuation has no tokens of its own: nothing of it would be scored";

/// "1 document was", "2 documents were"
std::string documents_were(int64_t count) {
  return fmt::format("{} document{}", count, count == 1 ? " was" : "s were");
}

}  // namespace

std::string_view name_of(Format format) {
  switch (format) {
    case Format::jsonl:
      return "jsonl";
    case Format::text:
      return "text";
    case Format::csv:
      return "csv";
    case Format::tsv:
      return "tsv";
    case Format::npy:
      return "npy";
  }
  return "?";
}

std::vector<std::string> names_of(const std::vector<SourceFile>& sources) {
  std::vector<std::string> paths;
  for (const SourceFile& source : sources) paths.push_back(source.path == kStandardInput ? "stdin" : source.path);
  return document_names(paths);
}

struct Importer::Batch {
  std::shared_ptr<DocumentSource> source;
  std::vector<RawDocument> raw;
  std::vector<Document> documents;
};

Importer::Importer(std::vector<SourceFile> sources, ImportRules rules, const Tokenizer& tokenizer, int threads,
                   std::function<void()> poll)
    : sources_(std::move(sources)),
      rules_(std::move(rules)),
      tokenizer_(tokenizer),
      threads_(threads),
      poll_(std::move(poll)),
      encode_rules_{&tokenizer, choose_framing(rules_.bos, tokenizer), rules_.special_in_text, rules_.fields},
      names_(names_of(sources_)),
      splitter_({rules_.max_tokens, rules_.overlap, rules_.join}, [this](const Piece& piece) {
        const bool split = piece.index > 0 || !piece.last;
        const bool numbered = split && !rules_.join;
        if (piece.index == 1) ++counts_.split;
        add_record(piece.tokens, piece.context,
                   numbered ? fmt::format("{}#{}", document_.id, piece.index) : document_.id);
      }) {
  const TokenFrame& frame = encode_rules_.framing.of_text;
  const int64_t num_around = std::ssize(frame.before) + std::ssize(frame.behind);
  for (const SourceFile& source : sources_)
    if (!rules_.columns.empty() && source.format != Format::csv && source.format != Format::tsv)
      fail(ExitCode::usage, "--columns: {} is {}, which has no columns (expected csv or tsv)", source.path,
           name_of(source.format));
  if (rules_.overlap + num_around >= rules_.max_tokens)
    fail(ExitCode::usage, "--max-tokens {}: expected more than --overlap {} and the {} tokens around a text",
         rules_.max_tokens, rules_.overlap, num_around);
}

Importer::~Importer() = default;

const ImportCounts& Importer::run(RecordSink& sink) {
  sink_ = &sink;
  in_order<Batch>(
      threads_, "importing", [this](Batch& batch) { return read(batch); },
      [](Batch& batch) {
        for (RawDocument& raw : batch.raw) batch.documents.push_back(batch.source->encode(std::move(raw)));
        batch.raw = {};
      },
      [this](Batch& batch) {
        for (Document& document : batch.documents) take(document);
      });
  return counts_;
}

std::unique_ptr<DocumentSource> Importer::open(size_t i) const {
  const SourceFile& source = sources_[i];
  const auto line_bytes = static_cast<uint64_t>(rules_.max_line_bytes);
  switch (source.format) {
    case Format::jsonl:
      return std::make_unique<JsonlSource>(source.path, names_[i], encode_rules_, line_bytes, poll_);
    case Format::text:
      return std::make_unique<TextSource>(source.path, names_[i], encode_rules_,
                                          static_cast<uint64_t>(rules_.max_document_bytes), poll_);
    case Format::csv:
    case Format::tsv: {
      const char separator = source.format == Format::csv ? ',' : '\t';
      if (!rules_.columns.empty())
        return std::make_unique<SeriesSource>(source.path, names_[i], separator, encode_rules_, rules_.columns,
                                              line_bytes, poll_);
      return std::make_unique<TableSource>(source.path, names_[i], separator, encode_rules_, line_bytes, poll_);
    }
    case Format::npy:
      return std::make_unique<NpySource>(source.path, source.offsets);
  }
  return nullptr;
}

bool Importer::read(Batch& batch) {
  while (true) {
    if (!current_) {
      if (next_source_ == sources_.size()) return false;
      current_ = open(next_source_++);
    }
    batch.source = current_;
    if (current_->next(batch.raw)) return true;
    if (auto identity = current_->identity()) {
      identity->name = names_[next_source_ - 1];
      identity->format = name_of(sources_[next_source_ - 1].format);
      identities_.push_back(std::move(*identity));
    }
    current_.reset();
  }
}

void Importer::take(Document& document) {
  note_other_fields(document);
  counts_.any_text = counts_.any_text || document.is_text;
  counts_.spellings_left += document.spellings_left;
  const TokenFrame& frame = document.is_text ? encode_rules_.framing.of_text : encode_rules_.framing.of_ids;
  if (document.reject.empty() && document.context) put_frame(document, frame);
  if (!document.reject.empty()) {
    ++counts_.rejects;
    return sink_->reject(document);
  }
  const std::vector<int32_t> tokens = std::move(document.tokens);
  const bool ends = document.ends;
  if (document.begins) {
    ++counts_.documents;
    document_ = std::move(document);
    splitter_.begin(frame);
  }
  if (document_.context) {
    if (document_.empty_context) ++counts_.empty_contexts;
    add_record(tokens, *document_.context, document_.id);
  } else {
    splitter_.add(tokens);
    if (ends) splitter_.end();
  }
  if (ends) sink_->end_document();
}

/// Around a record of context and continuation, or it is a reject. Text that begins with what comes before every text
/// does not get it twice, as lm-evaluation-harness has it.
void Importer::put_frame(Document& document, const TokenFrame& frame) const {
  std::vector<int32_t>& tokens = document.tokens;
  const auto num_before = std::ssize(frame.before);
  if (std::ssize(tokens) <= *document.context) {  // it would be the likeliest of all
    document.reject = kNothingScored;
    return;
  }
  const bool begun = document.is_text && std::ssize(tokens) >= num_before &&
                     std::equal(frame.before.begin(), frame.before.end(), tokens.begin());
  if (begun) {
    document.context = std::max(*document.context, num_before);
  } else {
    tokens.insert(tokens.begin(), frame.before.begin(), frame.before.end());
    *document.context += num_before;
  }
  tokens.insert(tokens.end(), frame.behind.begin(), frame.behind.end());
  if (std::ssize(tokens) - std::ssize(frame.behind) <= *document.context)
    document.reject = kNothingScored;
  else if (*document.context == 0)
    document.reject =
        "empty context: the first token has nothing to follow (give a context, or a start token with --bos)";
  else if (std::ssize(tokens) > rules_.max_tokens)
    document.reject = fmt::format("{} tokens: expected at most {}; a record with a context is not split (--max-tokens)",
                                  tokens.size(), rules_.max_tokens);
}

void Importer::add_record(std::span<const int32_t> tokens, int64_t context, const std::string& id) {
  ++counts_.records;
  counts_.tokens += std::ssize(tokens);
  counts_.longest = std::max(counts_.longest, std::ssize(tokens));
  sink_->record(tokens, context, id, document_.label);
}

void Importer::note_other_fields(const Document& document) {
  for (const std::string& field : document.other_fields) {
    if (named_fields_.size() > kMaxNamedFields || !named_fields_.insert(field).second) continue;
    if (named_fields_.size() > kMaxNamedFields)
      log::info("{}: more than {} other fields, ignored: not named any more", document.source, kMaxNamedFields);
    else
      log::info("{}:{}: field {} has no meaning here and is ignored", document.source, document.line.value_or(0),
                brief(field));
  }
}

void Importer::log_notes() const {
  const Framing& framing = encode_rules_.framing;
  if (counts_.any_text) log::info("import: tokenizer {}; {}", tokenizer_.name(), framing.why);
  if (counts_.empty_contexts > 0)
    log::info("import: {} empty contexts are {}", counts_.empty_contexts, framing.why_empty_context);
  if (counts_.spellings_left > 0)
    log::info(
        "import: {} spellings of special tokens were left as text (--special-tokens-in-text makes tokens of them)",
        counts_.spellings_left);
  if (framing.of_text.before.empty() && rules_.overlap == 0 && counts_.split > 0)
    log::info("import: {} split without --overlap and --bos: the first token of each piece is given, not scored",
              documents_were(counts_.split));
}

}  // namespace switchyard
