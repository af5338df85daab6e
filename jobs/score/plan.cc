#include "jobs/score/plan.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/available_memory.h"
#include "base/device.h"
#include "base/hash.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "jobs/numerics.h"
#include "jobs/score/results.h"

namespace switchyard {
namespace {

constexpr std::string_view kAsBegun = "as this run began";  // what the manifest decides
constexpr int64_t kChunkTokens = int64_t{1} << 19;
constexpr int64_t kMaxChunks = int64_t{1} << 22;  // each is a file, and some bytes on every rank

/// Expert-group sizes that divide the world, inside a host or over whole hosts, smallest first.
std::vector<int> group_sizes(int world, int ranks_on_host, int64_t num_experts) {
  std::vector<int> sizes;
  for (int ep = 1; ep <= world && ep <= num_experts; ++ep)
    if (world % ep == 0 && (ranks_on_host % ep == 0 || ep % ranks_on_host == 0)) sizes.push_back(ep);
  return sizes;
}

/// For a group of `ep` ranks: between GPUs one half of a batch computes while the other half's rows travel.
DecoderLimits limits_with(const ScorePlan& plan, const ScoreOptions& options, int ep) {
  DecoderLimits limits = plan.limits;
  const bool overlap = plan.device.device == Device::cuda && ep > 1;
  limits.micro_batches = options.micro_batches > 0 ? static_cast<int>(options.micro_batches) : overlap ? 2 : 1;
  return limits;
}

MemoryPlan memory_with(const ScorePlan& plan, const ScoreOptions& options, DType operand, int ep) {
  return plan_memory(plan.config, {operand, ep, plan.threads, limits_with(plan, options, ep), options.exchange_bytes,
                                   plan.device.device});
}

bool fits(const ScorePlan& plan, const MemoryPlan& memory) {
  return memory.peak() <= plan.memory_limit && memory.host_peak() <= plan.host_memory_limit;
}

/// Chooses --ep for a dtype: what was asked for, or the smallest that fits; 0 when none does.
int choose_ep(const ScorePlan& plan, const ScoreOptions& options, DType operand) {
  if (options.ep != 0) return static_cast<int>(options.ep);
  for (const int ep : group_sizes(plan.world_size, plan.ranks_on_host, plan.config.num_experts))
    if (fits(plan, memory_with(plan, options, operand, ep))) return ep;
  return 0;
}

[[noreturn]] void fail_for_memory(const ScorePlan& plan, int ranks) {
  const MemoryPlan& m = plan.memory;
  if (m.peak() <= plan.memory_limit)
    fail(ExitCode::environment,
         "memory: loading takes {} of the host per rank, but a rank may use {} ({}; fewer ranks per host or --threads)",
         bytes_text(m.host_peak()), bytes_text(plan.host_memory_limit), plan.host_memory_source);
  fail(ExitCode::environment,
       "{}memory: {} {} over {} ranks needs {} per rank (weights {}, activations {}, exchange {}), but a rank may use "
       "{} ({}; "
       "more ranks or nodes, a larger --ep, --dtype bf16, a smaller --batch-tokens, or --memory-gib)",
       m.device == Device::cuda ? "GPU " : "", plan.config.family, name_of(plan.operand), ranks, bytes_text(m.peak()),
       bytes_text(m.weights), bytes_text(m.activations), bytes_text(m.exchange), bytes_text(plan.memory_limit),
       plan.memory_source);
}

void choose_layout(ScorePlan& plan, const ScoreOptions& options, const RunDirectory& run) {
  const int64_t world = plan.world_size, experts = plan.config.num_experts;
  if (options.ep != 0 && (world % options.ep != 0 || options.ep > experts))
    fail(ExitCode::usage, "--ep is {}: it must divide the {} ranks and be at most the {} experts", options.ep, world,
         experts);

  std::string dtype = options.dtype;
  if (dtype == "auto" && run.has_manifest()) {
    dtype = require_string(run.read_manifest()["info"], "dtype", run.manifest_path().string());
    plan.why_operand = kAsBegun;
  }
  if (dtype == "auto" && plan.device.device == Device::cuda) {
    plan.operand = DType::bf16;
    plan.why_operand = "a GPU's tensor cores";
  } else if (dtype == "auto") {
    plan.operand = has_native_bf16() ? DType::bf16 : DType::f32;
    plan.why_operand = has_native_bf16() ? "the CPU multiplies bf16 natively" : "the CPU has no native bf16 products";
    if (plan.operand == DType::f32 && choose_ep(plan, options, DType::f32) == 0 &&
        choose_ep(plan, options, DType::bf16) != 0) {
      plan.operand = DType::bf16;
      plan.why_operand = "f32 weights do not fit into memory";
    }
  } else {
    plan.operand = dtype == "bf16" ? DType::bf16 : DType::f32;
  }
  plan.ep = choose_ep(plan, options, plan.operand);
  const int shown = plan.ep == 0 ? static_cast<int>(std::min<int64_t>(world, experts)) : plan.ep;
  plan.memory = memory_with(plan, options, plan.operand, shown);
  if (plan.ep == 0 || !fits(plan, plan.memory)) fail_for_memory(plan, shown);
  plan.limits = limits_with(plan, options, plan.ep);
}

/// A rank's part of its host; the poorest host's counts for all, since all plan alike.
void share_memory(Communicator& world, MachineShare& share) {
  const MemoryBound bound = memory_bound();
  const auto mine = static_cast<int64_t>(bound.bytes / static_cast<size_t>(share.ranks_on_host) / 20 * 19);
  std::vector<int64_t> all(static_cast<size_t>(world.size()));
  world.all_gather({&mine, {1}, DType::i64}, {all.data(), {world.size()}, DType::i64});
  const auto least = std::ranges::min_element(all);
  share.memory = static_cast<size_t>(*least);
  share.memory_source = world.broadcast_string(bound.source, static_cast<int>(least - all.begin()));
}

}  // namespace

DeviceWish requested_device(const ScoreOptions& options, const RunDirectory& run) {
  if (options.device != "auto" || !run.has_manifest()) return device_request(options.device);
  return {device_request(run.read_manifest()["info"].value("device", "cpu")), kAsBegun};
}

MachineShare share_machine(Communicator& world, const DeviceWish& device, bool share_gpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ::sched_getaffinity(0, sizeof mask, &mask);
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  const std::string host = name;
  const int64_t mine[2] = {static_cast<int64_t>(hash_of(std::as_bytes(std::span(name))).low),
                           static_cast<int64_t>(hash_of(std::as_bytes(std::span(&mask, 1))).low)};
  std::vector<int64_t> all(2 * static_cast<size_t>(world.size()));
  world.all_gather({mine, {1, 2}, DType::i64}, {all.data(), {world.size(), 2}, DType::i64});

  MachineShare share;
  share.world_size = world.size();
  share.ranks_on_host = 0;
  int same_mask = 0;
  for (size_t i = 0; i < all.size(); i += 2) {
    share.ranks_on_host += all[i] == mine[0];
    same_mask += all[i] == mine[0] && all[i + 1] == mine[1];
  }
  share.cores = std::max(1, CPU_COUNT(&mask) / same_mask);
  share_memory(world, share);
  share.device = choose_device(world, device, share_gpu);
  if (share.device.device == Device::cuda) {
    const auto names = world.all_gather_strings(host + device_identity(share.device.index));
    const auto sharers = std::ranges::count(names, names[static_cast<size_t>(world.rank())]);
    const auto free = device_info(share.device.index).free_bytes / static_cast<size_t>(sharers) / 20 * 19;
    share.device_memory = static_cast<size_t>(world.all_reduce_one(static_cast<int64_t>(free), ReduceOp::min));
  }
  // A group of ranks plans alike only if the hosts look alike to it.
  share.ranks_on_host = static_cast<int>(world.all_reduce_one(int64_t{share.ranks_on_host}, ReduceOp::max));
  return share;
}

int64_t longest_record(Communicator& world, const ScoringInput& input, int64_t max_positions) {
  constexpr int64_t kBlock = int64_t{1} << 18;
  int64_t longest = 1;
  collectively(world, [&] {
    for (int64_t first = world.rank() * kBlock; first < input.num_records(); first += world.size() * kBlock)
      for (const auto& record : input.records(first, std::min(kBlock, input.num_records() - first)))
        if (record.length <= max_positions) longest = std::max(longest, record.length);
  });
  return world.all_reduce_one(longest, ReduceOp::max);
}

int64_t default_chunk_records(const ScoringInput& input) {
  const int64_t mean_length = std::max<int64_t>(1, input.num_tokens() / std::max<int64_t>(1, input.num_records()));
  return std::max<int64_t>(1, kChunkTokens / mean_length);
}

ScorePlan plan_score(const ScoreOptions& options, const ModelConfig& config, const ScoringInput& input,
                     int64_t longest_record, const MachineShare& machine, const RunDirectory& run) {
  ScorePlan plan;
  plan.config = config;
  plan.world_size = machine.world_size;
  plan.ranks_on_host = machine.ranks_on_host;
  plan.threads = options.threads > 0 ? static_cast<int>(options.threads) : machine.cores;
  plan.device = machine.device;
  const bool on_gpu = plan.device.device == Device::cuda;
  plan.host_memory_limit = machine.memory;
  plan.host_memory_source = machine.memory_source;
  plan.memory_limit = on_gpu ? machine.device_memory : machine.memory;
  plan.memory_source = on_gpu ? "free on the GPU" : machine.memory_source;
  if (options.memory_gib > 0) {
    plan.memory_limit = static_cast<size_t>(options.memory_gib * 0x1p30);
    plan.memory_source = "--memory-gib";
  }
  if (!on_gpu) {
    plan.host_memory_limit = plan.memory_limit;
    plan.host_memory_source = plan.memory_source;
  }

  plan.num_tokens = input.num_tokens();
  plan.units = chunk_units(input.num_records(),
                           options.chunk_records > 0 ? options.chunk_records : default_chunk_records(input));
  if (plan.units.total > kMaxChunks)
    fail(ExitCode::usage, "--chunk-records {} makes {} chunks of the {} records, at most {}", plan.units.items_per_unit,
         plan.units.total, plan.units.items_total, kMaxChunks);
  plan.limits = {std::max(std::min(options.batch_tokens, plan.num_tokens), longest_record), longest_record};
  plan.results = {options.per_token, options.embed, options.embed == "none" ? 0 : config.hidden_size};

  choose_layout(plan, options, run);
  plan.numerics = numerics_id(plan.operand, plan.device.device, plan.device.index);
  plan.disk_bytes = predicted_results_bytes(plan.units.items_total, plan.num_tokens, plan.results) +
                    predicted_shard_bytes(plan.units.items_total, plan.num_tokens, plan.units.total, plan.results);
  return plan;
}

std::vector<std::string> describe_plan(const ScorePlan& p) {
  return {
      fmt::format("model: {}, {} layers, {} experts, {} per token; {} parameters, {} active", p.config.family,
                  p.config.num_layers, p.config.num_experts, p.config.experts_per_token,
                  count_text(p.config.total_parameters()), count_text(p.config.active_parameters())),
      fmt::format("input: {} records, {} tokens, longest {}; {} chunks of {} records", p.units.items_total,
                  p.num_tokens, p.limits.max_record, p.units.total, p.units.items_per_unit),
      fmt::format("device: {} ({})", p.device.device == Device::cuda ? "CUDA" : "CPU", p.device.why),
      fmt::format("numerics: {}{}", p.numerics, p.why_operand.empty() ? "" : " (" + p.why_operand + ")"),
      fmt::format("layout: {} ranks = {} groups × {} expert ranks, {} threads each, {} ranks on this host",
                  p.world_size, p.num_groups(), p.ep, p.threads, p.ranks_on_host),
      fmt::format("{}memory per rank: {} of {} (weights {}, loading {}, activations {}, exchange {}, scratch {}); "
                  "bound: {}",
                  p.memory.device == Device::cuda ? "GPU " : "", bytes_text(p.memory.peak()),
                  bytes_text(p.memory_limit), bytes_text(p.memory.weights), bytes_text(p.memory.loading),
                  bytes_text(p.memory.activations), bytes_text(p.memory.exchange), bytes_text(p.memory.scratch),
                  p.memory_source),
      fmt::format("disk: {} for shards and results", bytes_text(p.disk_bytes)),
  };
}

}  // namespace switchyard
