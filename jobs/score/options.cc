#include "jobs/score/options.h"

#include "base/error.h"
#include "jobs/options/limits.h"

namespace switchyard {

void ScoreOptions::describe(OptionSet& o) {
  o.group("What");
  ModelOptions::describe(o);
  o.before("allow-config-field");
  o.add("input", &input, "FILE ...",
        "text (.jsonl, .txt, .csv, .tsv, also .gz; -: standard input), imported into the run first; or a scoring input "
        "(HDF5, see `switchyard import`)");
  o.require("input");
  RunOptions::describe_directory(o);
  o.group("What");
  o.add(
      "sample-tokens", within(&sample_tokens, 0, INT64_MAX), "N",
      "score records of about so many tokens alone, of every length the same share: a sample, which becomes the run's "
      "own input (0: all)");
  InputOptions::describe(o, "score");

  o.group("Results");
  o.add("per-token", &per_token, "", "store every scored token's log-probability");
  o.add("with-text", &with_text, "", "--per-token, and its token and every token's text: results that can be read");
  o.add("embed", &embed, "none|mean|last", "store final-norm states, averaged or of the last token");
  o.add("quantiles", &quantiles, "LEVEL,...",
        "of a model of numbers (--tokenizer bins:…): what it predicts at every scored token, as exact quantiles of its "
        "softmax over the bins, for example 0.05,0.5,0.95");
  o.add("max-rejects", within(&max_rejects, 0, INT64_MAX), "N",
        "more rejected records (documents, of an input made with --join) than this end with exit code 65");
  o.add("drop-shards", &drop_shards, "", "delete the shards once results.h5 is complete");

  LayoutOptions::describe(o);
  o.before("micro-batches");
  BatchOptions::describe(o);
  o.before("exchange-bytes");
  o.add("chunk-records", within(&chunk_records, 0, kMaxChunkRecords), "N",
        "records per shard (0: about 2^19 tokens); part of the run's identity");

  RunOptions::describe(o);
  describe_profile(o, &profile);
}

std::vector<SourceFile> ScoreOptions::text_sources() const {
  std::vector<SourceFile> sources;
  for (const std::string& path : input) {
    const std::optional<Format> format = format_of_file(path);
    if (!format && input.size() == 1) return {};
    if (!format)
      fail(ExitCode::usage,
           "--input {}: expected one scoring input, or files of text (.jsonl, .txt, .csv, .tsv, also .gz; else "
           "--input-format)",
           path);
    sources.push_back({path, *format});
  }
  return sources;
}

}  // namespace switchyard
