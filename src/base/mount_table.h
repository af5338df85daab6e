// What is mounted where, as this process sees it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

struct MountEntry {
  std::filesystem::path root, point;  ///< what of the file system is mounted, and where
  std::string type, super_options;    ///< "cgroup", "rw,memory"
};

/// The lines of /proc/self/mountinfo, in their order; any that are not of its form are passed over. proc(5): "36 35
/// 0:31 ROOT POINT OPTIONS [FIELDS …] - TYPE SOURCE SUPER_OPTIONS".
std::vector<MountEntry> parse_mounts(std::string_view mountinfo);

}  // namespace switchyard
