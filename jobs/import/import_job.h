// switchyard import: makes a scoring input from text, tables or NumPy arrays.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "jobs/options/text_options.h"

namespace switchyard {

struct ImportOptions : TextOptions {
  // Exactly one of these kinds of source.
  std::vector<std::string> text;      ///< a file is a document
  std::vector<std::string> jsonl;     ///< a line is a document
  std::vector<std::string> csv, tsv;  ///< a row is a document
  std::vector<std::string> npy;       ///< two files: token ids, offsets

  int64_t bins = 0;       ///< 0: `tokenizer` says how text becomes tokens
  std::string bin_range;  ///< LOW:HIGH

  std::string output;
  int64_t max_rejects = 0;
  int64_t threads = 0;  ///< 0: all cores

  ImportOptions() { tokenizer = "bytes"; }
};

struct ImportSummary : ImportCounts {
  std::string rejects_path;                 ///< empty if there are none
  ExitCode exit_code = ExitCode::complete;  ///< or too_many_rejects: the output is complete all the same
};

/// Fails (usage) on values out of range, combinations without a meaning, a tokenizer that is not there, and an output
/// that would overwrite a source.
void check_import_options(const ImportOptions& options);

/// Writes `output` and its rejects: import_to_file(). Fails (usage, input, output).
ImportSummary import_sources(const ImportOptions& options);

}  // namespace switchyard
