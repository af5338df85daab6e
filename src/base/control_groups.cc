#include "base/control_groups.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/mount_table.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool lists(const std::string& names, std::string_view name) {
  return std::ranges::count(split(names, ','), name) > 0;
}

/// Whether this is where version 2's hierarchy is mounted, or `controller`'s of version 1.
bool shows(const MountEntry& mount, bool v2, std::string_view controller) {
  return v2 ? mount.type == "cgroup2" : mount.type == "cgroup" && lists(mount.super_options, controller);
}

/// `group` relative to `ancestor`; empty unless it is that or below.
std::optional<fs::path> below(const fs::path& group, const fs::path& ancestor) {
  const fs::path relative = group.lexically_relative(ancestor);
  if (relative.empty() || *relative.begin() == "..") return std::nullopt;
  return relative;
}

/// The directories of `group` and of all above it, as far as a mount shows them. A container may be shown its group as
/// the root of a mount, under a name that /proc/self/cgroup does not know: then the mount's root is all there is.
std::vector<fs::path> directories_of(const fs::path& group, const std::vector<MountEntry>& mounts) {
  std::vector<fs::path> found;
  for (const MountEntry& mount : mounts)
    if (const auto relative = below(group, mount.root)) {
      fs::path directory = mount.point;
      found.push_back(directory);
      for (const fs::path& name : *relative)
        if (name != ".") found.push_back(directory /= name);
    }
  if (found.empty())
    for (const MountEntry& mount : mounts) found.push_back(mount.point);
  return found;
}

}  // namespace

std::optional<uint64_t> ControlGroup::number(std::string_view file) const {
  uint64_t value = 0;
  if (std::ifstream(directory / file) >> value) return value;
  return std::nullopt;
}

std::optional<uint64_t> ControlGroup::number(std::string_view file, std::string_view key) const {
  std::ifstream stream(directory / file);
  std::string name;
  uint64_t value = 0;
  while (stream >> name >> value)
    if (name == key) return value;
  return std::nullopt;
}

std::vector<ControlGroup> control_groups(std::string_view controller, const fs::path& root) {
  std::ifstream mountinfo(root / "proc/self/mountinfo"), file(root / "proc/self/cgroup");
  const std::vector<MountEntry> mounts = parse_mounts(std::string(std::istreambuf_iterator<char>(mountinfo), {}));
  std::vector<ControlGroup> groups;
  for (std::string line; std::getline(file, line);) {  // "4:cpu,memory:/a:b", "0::/a"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && !lists(controllers, controller)) continue;
    std::vector<MountEntry> showing = mounts;
    std::erase_if(showing, [&](const MountEntry& mount) { return !shows(mount, v2, controller); });
    for (const fs::path& directory : directories_of(line.substr(second + 1), showing))
      groups.push_back({root / directory.relative_path(), v2});
  }
  return groups;
}

}  // namespace switchyard
