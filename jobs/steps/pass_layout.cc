#include "jobs/steps/pass_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace switchyard {
namespace {

/// The largest groups that so many ranks can be in.
int largest_group(int world_size, int num_experts) {
  int ep = std::min(world_size, num_experts);
  while (world_size % ep != 0) --ep;
  return ep;
}

std::string parts_text(const TrainMemory& m) {
  return fmt::format("weights {}, state {}, activations {}, sums {}, scratch {}", bytes_text(m.weights),
                     bytes_text(m.state), bytes_text(m.activations), bytes_text(m.sums), bytes_text(m.scratch));
}

}  // namespace

OperandChoice choose_operand(const MachineOptions& options, const RunDirectory& run) {
  if (options.dtype != "auto") return {operand_of(options.dtype), ""};
  if (run.has_manifest())
    return {operand_of(require_string(run.read_manifest()["info"], "dtype", run.manifest_path().native())),
            "as this run began"};
  return {DType::f32, "what training takes unless told otherwise"};
}

PassLayout plan_pass_layout(const std::string& what, const ModelConfig& config, const MachineOptions& options,
                            const MachineShare& machine, TrainMemoryRequest wanted,
                            const std::function<TrainMemoryRequest(TrainMemoryRequest, int world_size)>& sized) {
  PassLayout layout;
  layout.bound = machine.memory;
  layout.ranks_on_host = machine.ranks_on_host;
  const LayoutWishes wishes = options.wishes();
  if (wishes.memory_bytes) layout.bound = {*wishes.memory_bytes, "--memory-gib"};
  wanted.threads = wishes.threads > 0 ? wishes.threads : machine.cores;
  wanted.exchange_bytes = options.exchange_bytes;
  layout.shape = sized(wanted, machine.world_size);
  if (wishes.ep != 0 && (machine.world_size % wishes.ep != 0 || wishes.ep > config.num_experts()))
    fail(ExitCode::usage, "--ep is {}: it must divide the {} ranks and be at most the {} experts", wishes.ep,
         machine.world_size, config.num_experts());
  const std::vector<int> sizes =
      wishes.ep != 0 ? std::vector{wishes.ep} : expert_group_sizes(machine, config.num_experts());
  for (const int size : sizes) {
    layout.shape.ep = size;
    layout.memory = plan_train_memory(config, layout.shape);
    if (layout.memory.peak() <= layout.bound.bytes) break;
  }
  if (layout.memory.peak() > layout.bound.bytes) {
    constexpr int kMostRanks = 1 << 14;
    int enough = machine.world_size;
    size_t needed = layout.memory.peak();
    while (needed > layout.bound.bytes && enough < kMostRanks) {
      enough *= 2;
      TrainMemoryRequest shape = sized(layout.shape, enough);
      shape.ep = largest_group(enough, config.num_experts());
      needed = plan_train_memory(config, shape).peak();
    }
    fail(ExitCode::environment, "memory: {} in {} on {} ranks needs {} per rank ({}), but a rank may use {} ({}); {}",
         what, name_of(layout.shape.operand), machine.world_size, bytes_text(layout.memory.peak()),
         parts_text(layout.memory), bytes_text(layout.bound.bytes), layout.bound.source,
         needed <= layout.bound.bytes ? fmt::format("{} such ranks would do", enough)
                                      : "no number of such ranks would do: fewer --step-records, or --dtype bf16");
  }
  TrainMemoryRequest keeping = layout.shape;
  keeping.keep_products = true;
  if (const TrainMemory memory = plan_train_memory(config, keeping); memory.peak() <= layout.bound.bytes) {
    layout.shape = keeping;
    layout.memory = memory;
  }
  return layout;
}

std::vector<std::string> describe_layout(const PassLayout& p) {
  const TrainMemoryRequest& s = p.shape;
  return {fmt::format("layout: {} ranks = {} groups × {} expert ranks, {} threads each, {} ranks on this host",
                      s.world_size, p.num_groups(), s.ep, s.threads, p.ranks_on_host),
          fmt::format("memory per rank: {} of {} ({}, files {}); bound: {}", bytes_text(p.memory.peak()),
                      bytes_text(p.bound.bytes), parts_text(p.memory), bytes_text(p.memory.files), p.bound.source)};
}

}  // namespace switchyard
