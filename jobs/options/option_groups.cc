#include "jobs/options/option_groups.h"

#include "jobs/options/limits.h"

namespace switchyard {

void ModelOptions::describe(OptionSet& o) {
  o.add("model", &model, "DIR", "Hugging Face directory: config.json and safetensors");
  o.require("model");
  describe_delta(o, &delta);
  describe_allow_config_field(o, &allow_config_field);
}

void describe_delta(OptionSet& o, std::vector<std::string>* files) {
  o.add("delta", files, "FILE ...",
        "deltas that are patched into the model while it is read, in the order of their chain");
}

void describe_allow_config_field(OptionSet& o, std::vector<std::string>* names) {
  o.add("allow-config-field", Names{names}, "NAME[,NAME]", "accept these unknown fields of config.json as harmless");
}

void MachineOptions::describe(OptionSet& o) {
  o.group("Numerics");
  o.add("dtype", &dtype, "auto|f32|bf16", "arithmetic of products (auto: by checkpoint, CPU and memory)");
  o.add("cpu-isa", &cpu_isa, "auto|avx2|avx512|avx512_vnni|avx512_bf16", "pin one instruction set for a mixed cluster");

  o.group("Parallel layout and memory");
  o.add("device", &device, "auto|cpu|cuda", "what computes (auto: GPUs if every rank has one of its own)");
  o.add("ep", within(&ep, 0, kMaxRanks), "N",
        "ranks that share one copy of the experts; divides the world (0: the smallest that fits)");
  o.add("threads", within(&threads, 0, kMaxThreads), "N", "threads per rank (0: this rank's share of its cores)");
  describe_exchange_bytes(o, &exchange_bytes);
  o.add("memory-gib", within(&memory_gib, 0, kMaxMemoryGib), "X",
        "memory a rank may use, of its GPU if that computes (0: its share of what is free)");
}

void LayoutOptions::describe(OptionSet& o) {
  MachineOptions::describe(o);
  o.before("ep");
  o.add("share-gpu", &share_gpu, "",
        "let several ranks use one GPU; their exchange then goes through the host's memory and MPI");
  o.before("exchange-bytes");
  o.add("micro-batches", within(&micro_batches, 0, 2), "N",
        "1, or 2: one half of a batch computes while the other half's rows travel (0: 2 between GPUs)");
}

void describe_profile(OptionSet& o, std::string* file) {
  o.add("profile", file, "FILE",
        "what `switchyard calibrate` has found: says what this will take, and beside that what it took");
}

void describe_exchange_bytes(OptionSet& o, int64_t* bytes) {
  o.add("exchange-bytes", within(bytes, 1, kMaxExchangeBytes), "N",
        "budget per rank for other ranks' rows and their results");
}

LayoutWishes MachineOptions::wishes() const {
  LayoutWishes wishes;
  if (dtype != "auto") wishes.operand = operand_of(dtype);
  wishes.threads = static_cast<int>(threads);
  wishes.ep = static_cast<int>(ep);
  wishes.exchange_bytes = exchange_bytes;
  if (memory_gib > 0) wishes.memory_bytes = static_cast<size_t>(memory_gib * 0x1p30);
  return wishes;
}

LayoutWishes LayoutOptions::wishes() const {
  LayoutWishes wishes = MachineOptions::wishes();
  wishes.micro_batches = static_cast<int>(micro_batches);
  return wishes;
}

DType operand_of(std::string_view dtype) {
  if (dtype != "f32" && dtype != "bf16") fail(ExitCode::usage, "dtype \"{}\": expected f32 or bf16", dtype);
  return dtype == "bf16" ? DType::bf16 : DType::f32;
}

void BatchOptions::describe(OptionSet& o) {
  o.add("batch-tokens", within(&batch_tokens, 1, kMaxBatchTokens), "N", "tokens a rank computes at once");
}

void RunOptions::describe_directory(OptionSet& o) {
  o.add("run", &run, "DIR", "run directory: made, or resumed");
  o.require("run");
}

void RunOptions::describe(OptionSet& o) {
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

std::vector<std::string> RunOptions::timeouts() const {
  return {"--lease-timeout", std::to_string(lease_timeout), "--comm-timeout", std::to_string(comm_timeout),
          "--term-grace",    std::to_string(term_grace),    "--limit-grace",  std::to_string(limit_grace)};
}

Attempt::Options RunOptions::attempt() const {
  using std::chrono::seconds;
  return {run, seconds(lease_timeout), seconds(comm_timeout), seconds(term_grace), seconds(limit_grace), quiet};
}

}  // namespace switchyard
