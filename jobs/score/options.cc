#include "jobs/score/options.h"

#include "jobs/limits.h"

namespace switchyard {

void ScoreOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("model", &model, "DIR", "Hugging Face directory: config.json and safetensors");
  o.add("input", &input, "FILE", "scoring input (HDF5, see `switchyard import`)");
  o.add("run", &run, "DIR", "run directory: made, or resumed");
  o.add("allow-config-field", Names{&allow_config_field}, "NAME[,NAME]",
        "accept these unknown fields of config.json as harmless");
  o.add("allow-other-tokenizer", &allow_other_tokenizer, "",
        "score tokens that another tokenizer than the model's made");
  o.require("model");
  o.require("input");
  o.require("run");

  o.group("Results");
  o.add("per-token", &per_token, "", "store every scored token's log-probability");
  o.add("embed", &embed, "none|mean|last", "store final-norm states, averaged or of the last token");
  o.add("max-rejects", within(&max_rejects, 0, INT64_MAX), "N",
        "more rejected records than this end with exit code 65");
  o.add("drop-shards", &drop_shards, "", "delete the shards once results.h5 is complete");

  o.group("Numerics");
  o.add("dtype", &dtype, "auto|f32|bf16", "arithmetic of products (auto: by checkpoint, CPU and memory)");
  o.add("cpu-isa", &cpu_isa, "auto|avx2|avx512|avx512_vnni|avx512_bf16|amx",
        "pin one instruction set for a mixed cluster");

  o.group("Parallel layout and memory");
  o.add("device", &device, "auto|cpu|cuda", "what computes (auto: GPUs if every rank has one of its own)");
  o.add("share-gpu", &share_gpu, "",
        "let several ranks use one GPU; their exchange then goes through the host's memory and MPI");
  o.add("ep", within(&ep, 0, kMaxRanks), "N",
        "ranks that share one copy of the experts; divides the world (0: the smallest that fits)");
  o.add("threads", within(&threads, 0, kMaxThreads), "N", "threads per rank (0: this rank's share of its cores)");
  o.add("batch-tokens", within(&batch_tokens, 1, kMaxBatchTokens), "N", "tokens a rank computes at once");
  o.add("micro-batches", within(&micro_batches, 0, 2), "N",
        "1, or 2: one half of a batch computes while the other half's rows travel (0: 2 between GPUs)");
  o.add("chunk-records", within(&chunk_records, 0, kMaxChunkRecords), "N",
        "records per shard (0: about 2^19 tokens); part of the run's identity");
  o.add("exchange-bytes", within(&exchange_bytes, 1, kMaxExchangeBytes), "N",
        "budget per rank for other ranks' rows and their results");
  o.add("memory-gib", within(&memory_gib, 0, kMaxMemoryGib), "X",
        "memory a rank may use, of its GPU if that computes (0: its share of what is free)");

  o.group("As a batch job");
  o.add("lease-timeout", within(&lease_timeout, 1, kMaxSeconds), "S",
        "seconds to watch another attempt's lease before taking it over");
  o.add("comm-timeout", within(&comm_timeout, 0, kMaxSeconds), "S",
        "seconds without progress after which the rank that holds up the others is named (0: wait for ever)");
  o.add("term-grace", within(&term_grace, 1, kMaxSeconds), "S", "seconds to stop in after SIGTERM or SIGINT");
  o.add("limit-grace", within(&limit_grace, 1, kMaxSeconds), "S",
        "seconds to go on in after SIGUSR1 (time limit near) when Slurm does not tell the job's end");
  o.add("dry-run", &dry_run, "", "print the plan and touch nothing");
  o.add("quiet", &quiet, "", "warnings and errors only");
}

}  // namespace switchyard
