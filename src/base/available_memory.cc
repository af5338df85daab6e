#include "base/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "base/control_groups.h"

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

}  // namespace

size_t available_memory(const std::filesystem::path& root) {
  uint64_t available = machine_memory(root);
  for (const ControlGroup& group : control_groups("memory", root)) available = std::min(available, left_in(group));
  return static_cast<size_t>(available);
}

}  // namespace switchyard
