#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace switchyard {

struct MemoryBound {
  size_t bytes = 0;
  std::string source;   ///< whose bound it is, for a person
  bool in_all = false;  ///< what its processes have already counts, too
};

/// Memory that this process may hope for: what the machine has available, what its control groups leave, or what Slurm
/// allotted to the job on this node, whichever is least; Slurm's counts also where no group enforces it. What a group
/// uses as page cache counts as left: it gives way. `root`: see control_groups.
MemoryBound memory_bound(const std::filesystem::path& root = "/");
size_t available_memory(const std::filesystem::path& root = "/");  ///< its bytes

/// What this process has of the host's memory now: its program, libraries, MPI.
size_t resident_bytes();

}  // namespace switchyard
