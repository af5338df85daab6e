#include "jobs/plan/planned_machine.h"

#include <algorithm>

namespace switchyard {

MachineShare planned_machine(const ProfiledMachine& machine, int64_t nodes, int64_t tasks_per_node) {
  if (tasks_per_node > machine.cores)
    fail(ExitCode::usage, "--tasks-per-node {}: a node of the profile has {} cores", tasks_per_node, machine.cores);
  const auto tasks = static_cast<size_t>(tasks_per_node);
  MachineShare share;
  share.world_size = static_cast<int>(nodes * tasks_per_node);
  share.ranks_on_host = static_cast<int>(tasks_per_node);
  share.cores = static_cast<int>(std::max<int64_t>(1, machine.cores / tasks_per_node));
  share.memory = {static_cast<size_t>(machine.memory_bytes) / tasks, "a node of the profile, divided by its ranks"};
  share.native_bf16 = machine.cpu_isa == "avx512_bf16";
  if (machine.device == "cpu") {
    share.device.why = "as the profile's";
    return share;
  }
  share.device = {Device::cuda, -1, false, "as the profile's: " + machine.device};
  share.device_memory = static_cast<size_t>(machine.device_memory_bytes);
  return share;
}

}  // namespace switchyard
