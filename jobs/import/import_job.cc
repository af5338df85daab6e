#include "jobs/import/import_job.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include "base/log.h"
#include "base/thread_pool.h"
#include "import/import_file.h"

namespace switchyard {
namespace {

constexpr int64_t kDefaultMaxTokens = 1024;

std::vector<SourceFile> sources_of(const ImportOptions& options) {
  std::vector<SourceFile> sources;
  const auto add = [&](const std::vector<std::string>& paths, Format format) {
    for (const std::string& path : paths) sources.push_back({path, format});
  };
  add(options.text, Format::text);
  add(options.jsonl, Format::jsonl);
  add(options.csv, Format::csv);
  add(options.tsv, Format::tsv);
  if (!options.npy.empty()) sources.push_back({options.npy[0], Format::npy, options.npy[1]});
  return sources;
}

void check_kinds(const ImportOptions& options) {
  int num_kinds = 0;
  for (const auto* paths : {&options.text, &options.jsonl, &options.csv, &options.tsv, &options.npy})
    num_kinds += paths->empty() ? 0 : 1;
  if (num_kinds != 1)
    fail(ExitCode::usage, "import: expected exactly one of --text, --jsonl, --csv, --tsv, --npy, found {}",
         num_kinds == 0 ? "none" : "several");
  if (!options.npy.empty() && options.npy.size() != 2)
    fail(ExitCode::usage, "--npy: expected two files, token ids and offsets, found {}", options.npy.size());
}

/// Devices, pipes and links are not replaced by a file.
void check_replaceable(const std::filesystem::path& output) {
  std::error_code ignored;
  const auto status = std::filesystem::symlink_status(output, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    fail(ExitCode::usage, "--output {}: expected a new name or a regular file, which the output replaces",
         output.native());
}

void check_not_overwritten(const std::string& source, const std::string& output) {
  for (const std::filesystem::path& written : {std::filesystem::path(output), import_rejects_path(output)}) {
    std::error_code ignored;  // files that do not exist are not the same file
    if (std::filesystem::equivalent(source, written, ignored))
      fail(ExitCode::usage, "import: {} would be overwritten by the output {}", source, written.native());
  }
}

/// What an import works with.
struct Prepared {
  ImportRules rules;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::vector<SourceFile> sources;
};

/// What --bins and --bin-range are short for, or --tokenizer.
std::string tokenizer_choice(const ImportOptions& options) {
  if (options.bins == 0 && options.bin_range.empty()) return options.tokenizer;
  if (options.bins == 0 || options.bin_range.empty())
    fail(ExitCode::usage, "import: --bins and --bin-range go together, found only {}",
         options.bins == 0 ? "--bin-range" : "--bins");
  if (options.tokenizer != ImportOptions().tokenizer)
    fail(ExitCode::usage, "import: --bins is a tokenizer; expected no --tokenizer beside it, found {}",
         options.tokenizer);
  return fmt::format("bins:{}:{}", options.bins, options.bin_range);
}

Prepared prepare(const ImportOptions& options) {
  check_kinds(options);
  if (options.output.empty()) fail(ExitCode::usage, "import: --output is missing");
  if (options.max_rejects < 0) fail(ExitCode::usage, "--max-rejects {}: expected at least 0", options.max_rejects);
  Prepared prepared{options.resolved(kDefaultMaxTokens), open_tokenizer(tokenizer_choice(options)),
                    sources_of(options)};
  check_replaceable(options.output);
  check_replaceable(import_rejects_path(options.output));
  check_not_overwritten(prepared.tokenizer->name(), options.output);
  for (const SourceFile& source : prepared.sources)
    for (const std::string& path : {source.path, source.offsets})
      if (!path.empty()) check_not_overwritten(path, options.output);
  return prepared;
}

}  // namespace

void check_import_options(const ImportOptions& options) {
  const Prepared prepared = prepare(options);
  const Importer checked(prepared.sources, prepared.rules, *prepared.tokenizer, 1);
}

ImportSummary import_sources(const ImportOptions& options) {
  const auto [rules, tokenizer, sources] = prepare(options);
  const int threads = options.threads > 0 ? static_cast<int>(options.threads) : available_cores();
  Importer importer(sources, rules, *tokenizer, threads);
  import_to_file(importer, rules, *tokenizer, options.output, options.text.empty() && options.npy.empty());
  importer.log_notes();

  ImportSummary summary{importer.counts(), {}, ExitCode::complete};
  if (summary.rejects > 0) summary.rejects_path = import_rejects_path(options.output).native();
  if (summary.rejects > options.max_rejects) summary.exit_code = ExitCode::too_many_rejects;
  if (summary.records == 0) log::warning("import: {} has no records", options.output);
  return summary;
}

}  // namespace switchyard
