// switchyard import: makes a scoring input from text, JSON Lines or NumPy arrays.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace switchyard {

struct ImportOptions {
  // Exactly one of these kinds of source.
  std::vector<std::string> text;   ///< a file is a document
  std::vector<std::string> jsonl;  ///< a line is a document
  std::vector<std::string> npy;    ///< two files: token ids, offsets

  std::string output;
  std::string tokenizer = "bytes";
  int64_t max_tokens = 1024;  ///< of a record, bos included; longer documents are split
  int64_t overlap = 0;        ///< tokens of a piece that the next one repeats as context
  int64_t bos = -1;           ///< token put before every record; -1: none
  int64_t max_rejects = 0;
  int64_t max_line_bytes = int64_t{64} << 20;
  int64_t max_document_bytes = int64_t{256} << 20;  ///< of a text, where the tokenizer has to see it as a whole
};

struct ImportSummary {
  int64_t documents = 0, records = 0, tokens = 0, rejects = 0;  ///< documents: accepted ones
  std::string rejects_path;                                     ///< empty if there are none
  ExitCode exit_code = ExitCode::complete;  ///< or too_many_rejects: the output is complete all the same
};

/// Fails (usage) on values out of range, combinations without a meaning, and an output that would overwrite a source.
void check_import_options(const ImportOptions& options);

/// Writes `output` and, if there are rejects, `output`.rejects.jsonl with a line {"source", "line" or "record",
/// "reason"} for each; both appear complete or not at all, and replace older ones only on success. Fails (usage, input,
/// output).
ImportSummary run_import(const ImportOptions& options);

}  // namespace switchyard
