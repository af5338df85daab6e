#include "model/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "comm/expert_exchange.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"
#include "kernels/group_by_expert.h"
#include "kernels/scratch.h"
#include "model/moe_layer.h"

namespace switchyard {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

/// "MemAvailable:  123 kB" of /proc/meminfo, in bytes.
size_t machine_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    size_t kib = 0;
    if (words >> key >> kib && key == "MemAvailable:") return kib * 1024;
  }
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

/// What the control group at `directory` leaves; its files hold a number, or "max".
size_t left_in_group(const std::string& limit_file, const std::string& usage_file) {
  size_t limit = 0, usage = 0;
  if (!(std::ifstream(limit_file) >> limit) || limit >= (size_t{1} << 60)) return kUnlimited;
  std::ifstream(usage_file) >> usage;
  return limit > usage ? limit - usage : 0;
}

/// cgroup v2 (one hierarchy) or v1 (its memory controller), and the groups above.
size_t control_group_memory() {
  size_t left = kUnlimited;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const bool v2 = line.starts_with("0::");
    if (!v2 && line.find(":memory:") == std::string::npos) continue;
    std::string path = line.substr(line.rfind(':') + 1);
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    while (true) {
      const std::string group = root + path;
      left = std::min(left, v2 ? left_in_group(group + "/memory.max", group + "/memory.current")
                               : left_in_group(group + "/memory.limit_in_bytes", group + "/memory.usage_in_bytes"));
      const size_t slash = path.rfind('/');
      if (slash == std::string::npos || path.size() <= 1) break;
      path.resize(slash);
    }
  }
  return left;
}

KernelShapes kernel_shapes(const ModelConfig& c, DType operand) {
  return {.operand = operand,
          .dim = c.hidden_size,
          .ffn_dim = std::max({c.expert_ffn_size, c.shared_ffn_size, c.dense_ffn_size}),
          .vocab = c.vocab_size,
          .heads = c.num_heads,
          .kv_heads = c.num_kv_heads,
          .head_dim = c.head_dim};
}

}  // namespace

size_t MemoryPlan::peak() const {
  const size_t computing = activations + exchange + scratch;
  return weights + (device == Device::cpu ? std::max(loading, computing) : computing);
}

size_t MemoryPlan::host_peak() const {
  return device == Device::cpu ? peak() : std::max(loading, bookkeeping);
}

MemoryPlan plan_memory(const ModelConfig& c, const MemoryRequest& r) {
  const ExpertPlacement placement(static_cast<int>(c.num_experts), r.num_ranks);
  const WeightBytes weights = predict_weight_bytes(c, r.operand, placement.count(0), r.threads, r.device);
  const ExchangeShape shape{placement, c.hidden_size, static_cast<int>(c.experts_per_token),
                            r.operand, r.device,      r.exchange_bytes};
  const ExchangeScratch exchange = exchange_scratch(shape, 0, r.limits.part_tokens());
  MemoryPlan plan;
  plan.device = r.device;
  plan.weights = weights.resident;
  plan.loading = weights.scratch;
  plan.exchange = exchange.arena_bytes;
  plan.activations =
      Decoder::arena_bytes(c, r.operand, r.limits, exchange.arena_bytes, r.device) - exchange.arena_bytes;
  plan.scratch = Decoder::table_bytes(c, r.limits);
  if (r.device == Device::cpu) {
    plan.exchange += exchange.host_bytes;
    plan.scratch += static_cast<size_t>(r.threads) * thread_scratch_bytes(kernel_shapes(c, r.operand));
  } else {
    plan.bookkeeping = exchange.host_bytes;
    plan.scratch += device_workspace_bytes(c, r.operand, r.limits, exchange.max_entries);
  }
  return plan;
}

size_t device_workspace_bytes(const ModelConfig& c, DType operand, const DecoderLimits& limits, int64_t max_entries) {
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const int64_t tokens = limits.part_tokens();
  const auto ffn = [&](int64_t entries, int64_t f, int64_t groups) {
    return f == 0 ? 0 : grouped_ffn_workspace(entries, f, operand, groups);
  };
  const AttentionShape heads{.tokens = tokens,
                             .records = tokens,
                             .heads = c.num_heads,
                             .kv_heads = c.num_kv_heads,
                             .head_dim = c.head_dim,
                             .output = operand};
  return std::max({attention_workspace(heads), cross_entropy_workspace(limits.max_tokens, c.vocab_size),
                   group_by_expert_workspace(tokens, c.experts_per_token, c.num_experts),
                   ffn(max_entries, c.expert_ffn_size, c.num_experts), ffn(tokens, c.shared_ffn_size, 1),
                   ffn(tokens, c.dense_ffn_size, 1), gemm_workspace(q, d, operand), gemm_workspace(kv, d, operand),
                   gemm_workspace(d, q, operand), gemm_workspace(c.num_experts, d, DType::f32)});
}

size_t available_memory() {
  return std::min(machine_memory(), control_group_memory());
}

}  // namespace switchyard
