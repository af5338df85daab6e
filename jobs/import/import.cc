// `switchyard import`, the command line of jobs/import/import_job.h.
#include <iostream>

#include "base/log.h"
#include "io/json.h"
#include "jobs/import/import_options.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"

namespace switchyard {

void ImportCommand::describe(OptionSet& o) {
  o.group("From (one of; gzip's files as well)");
  o.add("text", &text, "FILE ...", "each file is a document");
  o.add("jsonl", &jsonl, "FILE ...",
        "each line is a document: text, context + continuation, tokens, or context_tokens + continuation_tokens; "
        "optional id, label");
  o.add("csv", &csv, "FILE ...", "each row is a document, with columns of these names, text or text pairs");
  o.add("tsv", &tsv, "FILE ...", "the same, tabs between the cells");
  o.add("npy", &npy, "VALUES OFFSETS", "token ids and record offsets as NumPy arrays");
  o.group("To");
  o.add("output", &output, "FILE", "scoring input (HDF5); rejects go to FILE.rejects.jsonl");
  o.require("output");
  o.add("max-rejects", within(&max_rejects, 0, INT64_MAX), "N",
        "more rejected documents than this end with exit code 65");
  TextOptions::describe(o, "", "0: 1024");
  o.before("max-tokens");
  o.add("bins", within(&bins, 0, INT32_MAX), "N", "--tokenizer bins:N:LOW:HIGH, with --bin-range LOW:HIGH");
  o.add("bin-range", &bin_range, "LOW:HIGH",
        "what the bins divide; what lies outside is in the first or the last one. Of training data alone, and the same "
        "for all data of a model");
  o.group("Machine");
  o.add("threads", within(&threads, 0, kMaxThreads), "N", "threads (0: all cores)");
  o.add("dry-run", &dry_run, "", "check the options and touch nothing");
}

int run_import(Runtime& runtime, std::span<const std::string> args) {
  ImportCommand command;
  OptionSet set;
  command.describe(set);
  if (!parse_job_options(runtime, set, "import", args)) return 0;
  if (command.dry_run) {
    check_import_options(command);
    std::cout << resolved_config(set);
    return static_cast<int>(ExitCode::complete);
  }
  const ImportSummary summary = import_sources(command);
  log::info("{}: {} records, {} tokens from {} documents", command.output, summary.records, summary.tokens,
            summary.documents);
  if (summary.rejects > 0) log::warning("{} documents were rejected, see {}", summary.rejects, summary.rejects_path);
  Json json;
  json["documents"] = summary.documents;
  json["records"] = summary.records;
  json["tokens"] = summary.tokens;
  json["rejects"] = summary.rejects;
  std::cout << to_text(json) << '\n';
  return static_cast<int>(summary.exit_code);
}

}  // namespace switchyard
