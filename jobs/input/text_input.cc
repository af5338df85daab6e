#include "jobs/input/text_input.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "comm/launcher.h"
#include "import/import_file.h"
#include "io/byte_stream.h"
#include "io/file.h"
#include "io/foreign_file.h"
#include "jobs/input/input_checks.h"

namespace switchyard {
namespace {

bool reads_standard_input(const std::vector<SourceFile>& sources) {
  return std::ranges::find(sources, kStandardInput, &SourceFile::path) != sources.end();
}

/// A launcher that is killed lets its ranks' standard input end before it ends them, or is gone: what was read is then
/// not all of it.
void require_living_launcher(pid_t launcher, const std::function<void()>& poll) {
  constexpr int kLooks = 30;  // three seconds: mpirun gives its ranks one
  for (int i = 0; i < kLooks; ++i) {
    if (poll) poll();
    if (::getppid() != launcher)
      fail(ExitCode::interrupted,
           "standard input ended with the process that started this one: not all of it was read");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

/// Measures records, and keeps none.
class MeasuringSink : public RecordSink {
 public:
  explicit MeasuringSink(int64_t max_positions) : max_positions_(max_positions) {}
  void record(std::span<const int32_t> tokens, int64_t /*context*/, const std::string& /*id*/,
              const std::string& /*label*/) override {
    if (std::ssize(tokens) <= max_positions_) longest_ = std::max(longest_, std::ssize(tokens));
  }
  void end_document() override {}
  void reject(const Document& /*document*/) override {}
  int64_t longest() const { return longest_; }

 private:
  const int64_t max_positions_;
  int64_t longest_ = 1;
};

}  // namespace

std::unique_ptr<const Tokenizer> tokenizer_for(const std::string& choice, const std::string& model,
                                               const std::string& subject) {
  if (!choice.empty()) return open_tokenizer(choice);
  if (tokenizer_file_in(model).empty())
    fail(ExitCode::usage,
         "{} is text, but model {} has no tokenizer.json: --tokenizer bytes|DIR|FILE says how it is encoded", subject,
         model);
  return open_tokenizer(model);
}

TextInput::TextInput(const InputOptions& options, const TextReader& reader, const ModelConfig& config)
    : tokenizer_(tokenizer_for(options.tokenizer, reader.model, reader.subject)),
      rules_(options.rules_for(config.max_positions, reader.batch_tokens)),
      threads_(reader.threads > 0 ? static_cast<int>(reader.threads) : available_cores()),
      max_positions_(config.max_positions),
      length_is_open_(options.max_tokens == 0) {
  check_tokenizer(TokenizerIdentity{tokenizer_->kind(), tokenizer_->hash()}, "tokenizer " + tokenizer_->name(),
                  reader.model, options.allow_other_tokenizer);
  check_tokenizer_size(config, options.allow_other_tokenizer);
  if (const Framing framing = importer({}, {})->framing();
      !framing.of_ids.before.empty() && framing.of_ids.before.front() >= config.vocab_size)
    fail(ExitCode::usage, "--bos {}: expected one of the model's {} tokens", rules_.bos, config.vocab_size);
}

void TextInput::check_tokenizer_size(const ModelConfig& config, bool allow_other) const {
  const int64_t tokens = tokenizer_->vocabulary_size();
  if (tokens <= config.vocab_size)
    return log::info("tokenizer {}: {} ids, the model has {} embeddings", tokenizer_->name(), tokens,
                     config.vocab_size);
  const std::string difference = fmt::format("tokenizer {} has {} ids, but the model {} embeddings only",
                                             tokenizer_->name(), tokens, config.vocab_size);
  if (!allow_other)
    fail(ExitCode::input, "{}; with --allow-other-tokenizer records that need more are rejects", difference);
  log::warning("{}: records that need more are rejects", difference);
}

std::unique_ptr<Importer> TextInput::importer(const std::vector<SourceFile>& sources,
                                              const std::function<void()>& poll) const {
  return std::make_unique<Importer>(sources, rules_, *tokenizer_, threads_, poll);
}

InputSize TextInput::measure(const std::vector<SourceFile>& sources) const {
  const auto measured = importer(sources, {});
  MeasuringSink sink(max_positions_);
  const ImportCounts& counts = measured->run(sink);
  measured->log_notes();
  return {.path = sources.front().path,
          .records = counts.records,
          .tokens = counts.tokens,
          .longest = sink.longest(),
          .documents = rules_.join ? std::optional(counts.documents) : std::nullopt};
}

void TextInput::withdraw(const std::filesystem::path& input) noexcept {
  std::error_code ignored;
  for (const auto& path : {input, import_rejects_path(input)}) std::filesystem::remove(path, ignored);
}

bool TextInput::provide(const std::vector<SourceFile>& sources, const std::filesystem::path& input,
                        const std::function<void()>& poll) const {
  if (file_exists(input) && is_same(sources, input, poll)) return false;
  const double start = seconds_now();
  const bool piped = reads_standard_input(sources);
  if (piped) log::info("reading standard input");
  const auto importing = importer(sources, poll);
  import_to_file(*importing, rules_, *tokenizer_, input, true, [&, launcher = ::getppid()] {
    if (piped && launched_by_mpi()) require_living_launcher(launcher, poll);
  });
  importing->log_notes();
  const ImportCounts& counts = importing->counts();
  log::info("import: {} documents, {} records, {} tokens, {} rejects in {}", counts.documents, counts.records,
            counts.tokens, counts.rejects, duration_text(seconds_now() - start));
  if (counts.rejects > 0)
    log::warning("{} documents of the input were rejected, see {}", counts.rejects,
                 import_rejects_path(input).native());
  return true;
}

/// Fails (mismatch) where it was imported otherwise. False: it has to be imported again.
bool TextInput::is_same(const std::vector<SourceFile>& sources, const std::filesystem::path& input,
                        const std::function<void()>& poll) const {
  const std::string& path = input.native();
  const std::optional<ImportedFrom> imported = imported_from(ScoringInput(input));
  if (!imported) fail(ExitCode::mismatch, "{}: it does not say what it was imported from", path);
  ImportIdentity now =
      identify_import(rules_, *tokenizer_, importer({}, {})->framing(), identify_sources(sources, poll));
  // What batches allow may be less now.
  if (const auto then = imported->identity.rules.find(kMaxTokensRule);
      length_is_open_ && then != imported->identity.rules.end())
    now.rules[kMaxTokensRule] = then->second;
  if (const std::string what = difference(imported->identity, now); !what.empty())
    fail(ExitCode::mismatch, "{}: the run's input was imported otherwise: {}", path, what);
  if (count_import_rejects(input) != imported->rejects) {
    if (std::ranges::any_of(sources, [](const SourceFile& source) { return is_read_once(source.path); }))
      fail(ExitCode::input, "{}: expected {} rejects, and what they were cannot be read again",
           import_rejects_path(input).native(), imported->rejects);
    log::warning("import: {} is not what {} says, {} rejects: importing again", import_rejects_path(input).native(),
                 path, imported->rejects);
    return false;
  }
  log::info("import: {} is there, made of these sources", path);
  return true;
}

}  // namespace switchyard
