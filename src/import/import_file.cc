#include "import/import_file.h"

#include <fstream>
#include <system_error>

#include "base/error.h"
#include "io/file.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

/// The rejects, written as they come; there is no file without any.
class RejectWriter {
 public:
  explicit RejectWriter(const std::filesystem::path& path) : path_(path), temporary_(path) {}

  void add(const Document& document) {
    if (!file_.is_open()) file_.open(temporary_.path());
    Json line{{"source", path_to_json(document.source)}};
    if (document.line) line["line"] = *document.line;
    if (document.record) line["record"] = *document.record;
    line["reason"] = document.reject;
    file_ << to_text(line) << '\n';
    check_written();
    any_ = true;
  }

  void publish() {
    if (any_) {
      file_.close();
      check_written();
      return temporary_.publish();
    }
    std::error_code error;
    std::filesystem::remove(path_, error);
    if (error) fail(ExitCode::output, "cannot remove {}: {}", path_.native(), error.message());
  }

 private:
  void check_written() const {
    if (!file_) fail_errno(ExitCode::output, "cannot write", temporary_.path().native());
  }
  std::filesystem::path path_;
  TemporaryFile temporary_;
  std::ofstream file_;
  bool any_ = false;
};

class FileSink : public RecordSink {
 public:
  FileSink(const std::filesystem::path& output, const InputExtras& extras)
      : joins_(extras.documents), writer_(output, extras), rejects_(import_rejects_path(output)) {}

  void record(std::span<const int32_t> tokens, int64_t context, const std::string& id,
              const std::string& label) override {
    writer_.add(tokens, static_cast<int32_t>(context), id, label);
  }
  void end_document() override {
    if (joins_) writer_.end_document();
  }
  void reject(const Document& document) override { rejects_.add(document); }

  void finish(const std::optional<TokenizerIdentity>& tokenizer, const std::string& origin) {
    rejects_.publish();  // before the input: where that is, these are
    writer_.finish(tokenizer, origin);
  }

 private:
  const bool joins_;
  ScoringInputWriter writer_;
  RejectWriter rejects_;
};

}  // namespace

std::filesystem::path import_rejects_path(const std::filesystem::path& output) {
  return output.native() + ".rejects.jsonl";
}

void import_to_file(Importer& importer, const ImportRules& rules, const Tokenizer& tokenizer,
                    const std::filesystem::path& output, bool labels, const std::function<void()>& is_all) {
  FileSink sink(output, {.labels = labels, .documents = rules.join});
  const ImportCounts& counts = importer.run(sink);
  if (is_all) is_all();
  const ImportIdentity identity = identify_import(rules, tokenizer, importer.framing(), importer.sources());
  std::string origin;
  if (!identity.sources.empty()) {
    Json json = identity.json();
    json["documents"] = counts.documents;
    json["rejects"] = counts.rejects;
    origin = to_text(json);
  }
  sink.finish(counts.any_text ? std::optional(identity.tokenizer) : std::nullopt, origin);
}

int64_t count_import_rejects(const std::filesystem::path& output) {
  std::ifstream file = open_lines(import_rejects_path(output));
  int64_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
  }
  return count;
}

std::optional<ImportedFrom> imported_from(const ScoringInput& input) {
  const std::string text = input.origin();
  if (text.empty()) return std::nullopt;
  const std::string subject = input.path().native() + ": origin";
  const Json json = parse_json(text, subject);
  if (find_field(json, kSampleOf) != nullptr) return std::nullopt;
  return ImportedFrom{ImportIdentity::from_json(json, subject), require_int(json, "documents", subject, 0, INT64_MAX),
                      require_int(json, "rejects", subject, 0, INT64_MAX)};
}

}  // namespace switchyard
