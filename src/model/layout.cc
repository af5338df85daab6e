#include "model/layout.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "base/available_memory.h"
#include "base/device.h"
#include "base/hash.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

/// Chooses for one configuration, wishes, machine and batch.
class Chooser {
 public:
  Chooser(const ModelConfig& config, const LayoutWishes& wishes, const DecoderLimits& batch,
          const MachineShare& machine)
      : config_(config), wishes_(wishes), batch_(batch), machine_(machine) {}

  Layout choose() {
    bound_memory();
    choose_operand();
    layout_.ep = choose_ep(layout_.operand);
    const int shown = layout_.ep == 0 ? std::min(machine_.world_size, config_.num_experts()) : layout_.ep;
    layout_.memory = memory_with(layout_.operand, shown);
    if (layout_.ep == 0 || !fits(layout_.memory)) fail_for_memory(shown);
    layout_.limits = limits_with(layout_.ep);
    return layout_;
  }

 private:
  void bound_memory() {
    const bool on_gpu = machine_.device.device == Device::cuda;
    layout_.device = machine_.device;
    layout_.world_size = machine_.world_size;
    layout_.ranks_on_host = machine_.ranks_on_host;
    layout_.threads = wishes_.threads > 0 ? wishes_.threads : machine_.cores;
    layout_.exchange_bytes = wishes_.exchange_bytes;
    layout_.host_bound = machine_.memory;
    layout_.bound = on_gpu ? MemoryBound{machine_.device_memory, "free on the GPU"} : layout_.host_bound;
    if (wishes_.memory_bytes) layout_.bound = {*wishes_.memory_bytes, "--memory-gib"};
    if (!on_gpu) layout_.host_bound = layout_.bound;
  }

  void choose_operand() {
    layout_.why_operand = wishes_.why_operand;
    if (wishes_.operand) {
      layout_.operand = *wishes_.operand;
    } else if (layout_.device.device == Device::cuda) {
      layout_.operand = DType::bf16;
      layout_.why_operand = "a GPU's tensor cores";
    } else if (machine_.native_bf16.value_or(has_native_bf16())) {
      layout_.operand = DType::bf16;
      layout_.why_operand = "the CPU multiplies bf16 natively";
    } else if (choose_ep(DType::f32) == 0 && choose_ep(DType::bf16) != 0) {
      layout_.operand = DType::bf16;
      layout_.why_operand = "f32 weights do not fit into memory";
    } else {
      layout_.operand = DType::f32;
      layout_.why_operand = "the CPU has no native bf16 products";
    }
  }

  /// For a dtype: what was asked for, or the smallest that fits; 0 when none does.
  int choose_ep(DType operand) const {
    if (wishes_.ep != 0) return wishes_.ep;
    for (const int ep : expert_group_sizes(machine_, config_.num_experts()))
      if (fits(memory_with(operand, ep))) return ep;
    return 0;
  }

  DecoderLimits limits_with(int ep) const {
    DecoderLimits limits = batch_;
    limits.micro_batches =
        wishes_.micro_batches > 0 ? wishes_.micro_batches : default_micro_batches(layout_.device.device, ep);
    return limits;
  }

  MemoryPlan memory_with(DType operand, int ep) const {
    return plan_memory(config_, {.operand = operand,
                                 .placement = ExpertPlacement::blocks(config_.num_experts(), ep),
                                 .threads = layout_.threads,
                                 .limits = limits_with(ep),
                                 .exchange_bytes = layout_.exchange_bytes,
                                 .device = layout_.device.device});
  }

  bool fits(const MemoryPlan& memory) const {
    return memory.peak() <= layout_.bound.bytes && memory.host_peak() <= layout_.host_bound.bytes;
  }

  [[noreturn]] void fail_for_memory(int ranks) const {
    const MemoryPlan& m = layout_.memory;
    if (m.peak() <= layout_.bound.bytes)
      fail(ExitCode::environment,
           "memory: loading takes {} of the host per rank, but a rank may use {} ({}; fewer ranks per host or "
           "--threads)",
           bytes_text(m.host_peak()), bytes_text(layout_.host_bound.bytes), layout_.host_bound.source);
    fail(ExitCode::environment,
         "{}memory: {} {} over {} ranks needs {} per rank (weights {}, activations {}, exchange {}), but a rank may "
         "use {} ({}; more ranks or nodes, a larger --ep, --dtype bf16, a smaller --batch-tokens, by which text is cut "
         "where no --max-tokens says how, or --memory-gib)",
         m.device == Device::cuda ? "GPU " : "", config_.family, name_of(layout_.operand), ranks, bytes_text(m.peak()),
         bytes_text(m.weights), bytes_text(m.activations), bytes_text(m.exchange), bytes_text(layout_.bound.bytes),
         layout_.bound.source);
  }

  const ModelConfig& config_;
  const LayoutWishes& wishes_;
  const DecoderLimits& batch_;
  const MachineShare& machine_;
  Layout layout_;
};

/// A rank's part of its host; the poorest host's counts for all, since all plan alike.
void share_memory(Communicator& world, MachineShare& share) {
  MemoryBound bound;
  int64_t mine = 0;
  collectively(world, [&] {
    bound = memory_bound();
    const size_t part = bound.bytes / static_cast<size_t>(share.ranks_on_host) / 20 * 19;
    mine = static_cast<int64_t>(part - (bound.in_all ? std::min(part, resident_bytes()) : 0));
  });
  std::vector<int64_t> all(static_cast<size_t>(world.size()));
  world.all_gather({&mine, {1}, DType::i64}, {all.data(), {world.size()}, DType::i64});
  const auto least = std::ranges::min_element(all);
  share.memory = {static_cast<size_t>(*least),
                  world.broadcast_string(bound.source, static_cast<int>(least - all.begin()))};
}

void share_device(Communicator& world, const std::string& host, MachineShare& share) {
  std::string identity;
  size_t free = 0;
  collectively(world, [&] {
    identity = device_identity(share.device.index);
    free = device_info(share.device.index).free_bytes;
  });
  const auto names = world.all_gather_strings(host + identity);
  const auto sharers = std::ranges::count(names, names[static_cast<size_t>(world.rank())]);
  const size_t part = free / static_cast<size_t>(sharers) / 20 * 19;
  share.device_memory = static_cast<size_t>(world.all_reduce_one(static_cast<int64_t>(part), ReduceOp::min));
}

}  // namespace

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
  collectively(world, [&] { share.device = choose_device(world, device, share_gpu); });
  if (share.device.device == Device::cuda) share_device(world, host, share);
  // A group of ranks plans alike only if the hosts look alike to it.
  share.ranks_on_host = static_cast<int>(world.all_reduce_one(int64_t{share.ranks_on_host}, ReduceOp::max));
  return share;
}

std::vector<int> expert_group_sizes(const MachineShare& machine, int num_experts) {
  std::vector<int> sizes;
  for (int ep = 1; ep <= machine.world_size && ep <= num_experts; ++ep)
    if (machine.world_size % ep == 0 && (machine.ranks_on_host % ep == 0 || ep % machine.ranks_on_host == 0))
      sizes.push_back(ep);
  return sizes;
}

int default_micro_batches(Device device, int ep) {
  return device == Device::cuda && ep > 1 ? 2 : 1;
}

Layout choose_layout(const ModelConfig& config, const LayoutWishes& wishes, const DecoderLimits& batch,
                     const MachineShare& machine) {
  if (wishes.ep != 0 && (machine.world_size % wishes.ep != 0 || wishes.ep > config.num_experts()))
    fail(ExitCode::usage, "--ep is {}: it must divide the {} ranks and be at most the {} experts", wishes.ep,
         machine.world_size, config.num_experts());
  return Chooser(config, wishes, batch, machine).choose();
}

std::vector<std::string> describe_layout(const Layout& l) {
  const MemoryPlan& m = l.memory;
  return {
      fmt::format("layout: {} ranks = {} groups × {} expert ranks, {} threads each, {} ranks on this host",
                  l.world_size, l.num_groups(), l.ep, l.threads, l.ranks_on_host),
      fmt::format("{}memory per rank: {} of {} (weights {}, loading {}, activations {}, exchange {}, scratch {}); "
                  "bound: {}",
                  m.device == Device::cuda ? "GPU " : "", bytes_text(m.peak()), bytes_text(l.bound.bytes),
                  bytes_text(m.weights), bytes_text(m.loading), bytes_text(m.activations), bytes_text(m.exchange),
                  bytes_text(m.scratch), l.bound.source),
  };
}

}  // namespace switchyard
