#include "base/control_groups.h"

#include <algorithm>
#include <fstream>
#include <sstream>

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

/// A path as mountinfo writes it: space, tab, line feed and backslash are "\040" and the like.
std::string unescaped(const std::string& text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && text.find_first_not_of("01234567", i + 1) >= i + 4 && i + 4 <= text.size();
    path += escape ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escape) i += 3;
  }
  return path;
}

struct Mount {
  fs::path root, point;  ///< what of the hierarchy is mounted, and where
};

/// The mounts of version 2's hierarchy, or of `controller`'s in version 1. proc(5): "36 35 0:31 ROOT POINT OPTIONS
/// [FIELDS …] - TYPE SOURCE SUPER_OPTIONS".
std::vector<Mount> mounts_of(bool v2, std::string_view controller, const fs::path& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = split(line, ' ');
    const auto dash = std::ranges::find(fields, "-");
    if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
    if (dash[1] != (v2 ? "cgroup2" : "cgroup") || (!v2 && !lists(dash[3], controller))) continue;
    mounts.push_back({unescaped(fields[3]), unescaped(fields[4])});
  }
  return mounts;
}

/// `group` relative to `ancestor`; empty unless it is that or below.
std::optional<fs::path> below(const fs::path& group, const fs::path& ancestor) {
  const fs::path relative = group.lexically_relative(ancestor);
  if (relative.empty() || *relative.begin() == "..") return std::nullopt;
  return relative;
}

/// The directories of `group` and of all above it, as far as a mount shows them. A container may be shown its group as
/// the root of a mount, under a name that /proc/self/cgroup does not know: then the mount's root is all there is.
std::vector<fs::path> directories_of(const fs::path& group, const std::vector<Mount>& mounts) {
  std::vector<fs::path> found;
  for (const Mount& mount : mounts)
    if (const auto relative = below(group, mount.root)) {
      fs::path directory = mount.point;
      found.push_back(directory);
      for (const fs::path& name : *relative)
        if (name != ".") found.push_back(directory /= name);
    }
  if (found.empty())
    for (const Mount& mount : mounts) found.push_back(mount.point);
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
  std::vector<ControlGroup> groups;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:cpu,memory:/a:b", "0::/a"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && !lists(controllers, controller)) continue;
    for (const fs::path& directory : directories_of(line.substr(second + 1), mounts_of(v2, controller, root)))
      groups.push_back({root / directory.relative_path(), v2});
  }
  return groups;
}

}  // namespace switchyard
