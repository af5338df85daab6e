#include "jobs/batch/file_system.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <ranges>
#include <sstream>

namespace switchyard {
namespace {

/// The kernel writes blanks and backslashes of a path as \040: three octal digits.
std::string unescaped(const std::string& field) {
  std::string text;
  for (size_t i = 0; i < field.size(); ++i) {
    const auto is_octal = [&](size_t at) { return at < field.size() && field[at] >= '0' && field[at] <= '7'; };
    if (field[i] == '\\' && is_octal(i + 1) && is_octal(i + 2) && is_octal(i + 3)) {
      text += static_cast<char>(std::stoi(field.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

bool is_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
  return std::ranges::mismatch(path, folder).in2 == folder.end();
}

}  // namespace

Sharing FileSystem::sharing() const {
  constexpr std::array<std::string_view, 24> kShared = {
      "nfs",       "nfs4",           "lustre",   "gpfs",  "beegfs",    "ceph", "fuse.ceph",    "fuse.ceph-fuse",
      "glusterfs", "fuse.glusterfs", "orangefs", "pvfs2", "panfs",     "afs",  "wekafs",       "fuse.juicefs",
      "cifs",      "smb3",           "gfs2",     "ocfs2", "fuse.daos", "dvs",  "fuse.quobyte", "fuse.mfs"};
  constexpr std::array<std::string_view, 14> kLocal = {"tmpfs", "ramfs", "ext2",     "ext3",    "ext4",
                                                       "xfs",   "btrfs", "zfs",      "overlay", "f2fs",
                                                       "jfs",   "vfat",  "bcachefs", "reiserfs"};
  if (std::ranges::find(kShared, type) != kShared.end()) return Sharing::shared;
  return std::ranges::find(kLocal, type) != kLocal.end() ? Sharing::node_local : Sharing::unknown;
}

FileSystem find_file_system(const std::filesystem::path& path, std::string_view mounts) {
  FileSystem found;
  size_t depth = 0;
  std::istringstream lines{std::string(mounts)};
  for (std::string line; std::getline(lines, line);) {
    // "36 35 98:0 /root /mount/point options … - type source options"
    const size_t separator = line.find(" - ");
    std::istringstream fields(line);
    std::string field, point, type;
    for (int i = 0; i < 4; ++i) fields >> field;
    if (!(fields >> point) || separator == std::string::npos) continue;
    std::istringstream(line.substr(separator + 3)) >> type;
    const std::filesystem::path folder = unescaped(point);
    const auto this_deep = static_cast<size_t>(std::distance(folder.begin(), folder.end()));
    if (this_deep < depth || !is_below(path, folder)) continue;  // of two on one point the later one is seen
    depth = this_deep;
    found = {type, folder.native()};
  }
  return found;
}

FileSystem file_system_of(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path where = std::filesystem::weakly_canonical(path, error);
  if (error) return {};
  std::ifstream file("/proc/self/mountinfo");
  const std::string mounts(std::istreambuf_iterator<char>(file), {});
  return find_file_system(where, mounts);
}

std::string local_disk_of(const std::filesystem::path& path) {
  const FileSystem where = file_system_of(path);
  return where.sharing() == Sharing::node_local ? where.type : std::string();
}

}  // namespace switchyard
