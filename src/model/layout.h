// How a job's ranks share a model and a machine: dtype, expert groups, micro-batches, threads, and that it fits.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/available_memory.h"
#include "comm/communicator.h"
#include "comm/device_choice.h"
#include "model/engine.h"
#include "model/memory_plan.h"

namespace switchyard {

/// What a rank may use of its host.
struct MachineShare {
  int world_size = 1;
  int ranks_on_host = 1;
  int cores = 1;       ///< of its affinity mask, divided by the ranks of the host that have the same mask
  MemoryBound memory;  ///< the least of all ranks
  DeviceChoice device;
  std::optional<bool> native_bf16 = {};  ///< of its CPUs, where it is not this machine
  size_t device_memory = 0;  ///< of a GPU that computes, divided by the ranks that share it; the least of all ranks
};
/// Collective; chooses devices. Fails collectively.
MachineShare share_machine(Communicator& world, const DeviceWish& device, bool share_gpu);

/// What a user, or what a run began with, asks for; 0: whatever is best.
struct LayoutWishes {
  std::optional<DType> operand;
  std::string why_operand;  ///< for the log, where it was not the user
  int threads = 0, ep = 0, micro_batches = 0;
  int64_t exchange_bytes = 0;          ///< budget
  std::optional<size_t> memory_bytes;  ///< that a rank may use
};

struct Layout {
  DType operand = DType::f32;
  std::string why_operand;  ///< where nobody asked for it
  DeviceChoice device;
  int world_size = 1, ep = 1, threads = 1, ranks_on_host = 1;
  DecoderLimits limits;
  int64_t exchange_bytes = 0;
  MemoryPlan memory;
  MemoryBound bound, host_bound;  ///< of the device that computes, of the host

  int num_groups() const { return world_size / ep; }
  EngineOptions engine() const { return {operand, threads, limits, exchange_bytes, device.device, device.index}; }
};

/// Of how many ranks expert groups can be: they divide the world and lie inside a host, or over whole ones; smallest
/// first.
std::vector<int> expert_group_sizes(const MachineShare& machine, int num_experts);

/// Between GPUs one half of a batch computes while the other half's rows travel. ep: ranks of an expert group
int default_micro_batches(Device device, int ep);

/// batch: what the decoder is asked at once; how many micro-batches is chosen here. Fails (usage) on an --ep that
/// cannot be, (environment) where nothing fits into memory, with the numbers. All ranks decide alike, without asking
/// each other.
Layout choose_layout(const ModelConfig& config, const LayoutWishes& wishes, const DecoderLimits& batch,
                     const MachineShare& machine);

/// Lines for a person: ranks, and memory.
std::vector<std::string> describe_layout(const Layout& layout);

}  // namespace switchyard
