#include "base/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "base/control_groups.h"
#include "base/number.h"

namespace switchyard {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

/// Names of the files and fields of a memory group.
struct Names {
  const char *limits[2], *usage, *inactive_cache, *active_cache;
};
constexpr Names kV1{
    {"memory.limit_in_bytes", nullptr}, "memory.usage_in_bytes", "total_inactive_file", "total_active_file"};
constexpr Names kV2{{"memory.max", "memory.high"}, "memory.current", "inactive_file", "active_file"};

/// "MemAvailable:  123 kB" of /proc/meminfo, in bytes.
uint64_t machine_memory(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    uint64_t kib = 0;
    if (words >> key >> kib && key == "MemAvailable:") return kib * 1024;
  }
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// What a group leaves of its limit. Version 1 says "none" by a number near 2^63, and has the least limit of the groups
/// above, which a container may not see, in memory.stat.
uint64_t left_in(const ControlGroup& group) {
  const Names& names = group.v2 ? kV2 : kV1;
  uint64_t limit = kUnlimited;
  for (const char* file : names.limits)
    if (file != nullptr) limit = std::min(limit, group.number(file).value_or(kUnlimited));
  limit = std::min(limit, group.number("memory.stat", "hierarchical_memory_limit").value_or(kUnlimited));
  if (limit >= uint64_t{1} << 60) return kUnlimited;
  const uint64_t cache = group.number("memory.stat", names.inactive_cache).value_or(0) +
                         group.number("memory.stat", names.active_cache).value_or(0);
  const uint64_t usage = group.number(names.usage).value_or(0);
  const uint64_t held = usage - std::min(usage, cache);
  return limit - std::min(limit, held);
}

/// A variable's number; 0 when there is none.
uint64_t variable_number(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : number_in<uint64_t>(value).value_or(0);
}

/// What srun's --mem, --mem-per-cpu and --mem-per-gpu came to, in MiB by node, CPU or GPU; 0 is all of the node.
struct Allotment {
  const char *memory, *count;  ///< count: of those on this node; null: one
};
constexpr Allotment kAllotments[] = {{"SLURM_MEM_PER_NODE", nullptr},
                                     {"SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"},
                                     {"SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"}};

uint64_t allotted(const Allotment& allotment) {
  constexpr uint64_t kMost = uint64_t{1} << 40;  // MiB: beyond it is none, and the products below stay in range
  const uint64_t mib = variable_number(allotment.memory);
  const uint64_t count = allotment.count == nullptr ? 1 : variable_number(allotment.count);
  if (mib == 0 || count == 0 || mib > kMost / count) return kUnlimited;
  return mib * count << 20;
}

}  // namespace

MemoryBound memory_bound(const std::filesystem::path& root) {
  uint64_t least = machine_memory(root);
  std::string source = "available on the host";
  bool in_all = false;
  const auto narrow = [&](uint64_t bytes, const std::string& by, bool is_in_all) {
    if (bytes >= least) return;
    least = bytes;
    source = by;
    in_all = is_in_all;
  };
  for (const ControlGroup& group : control_groups("memory", root))
    narrow(left_in(group), "left by control group " + group.directory.string(), false);
  for (const Allotment& allotment : kAllotments)
    narrow(allotted(allotment), std::string("allotted by Slurm: ") + allotment.memory, true);
  return {static_cast<size_t>(least), std::move(source), in_all};
}

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

size_t available_memory(const std::filesystem::path& root) {
  return memory_bound(root).bytes;
}

}  // namespace switchyard
