// Nodes like the profile's, as a job would find them.
#pragma once

#include "model/layout.h"
#include "plan/profile.h"

namespace switchyard {

/// Fails (usage) where a node has fewer cores than ranks.
MachineShare planned_machine(const ProfiledMachine& machine, int64_t nodes, int64_t tasks_per_node);

}  // namespace switchyard
