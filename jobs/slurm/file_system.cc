#include "jobs/slurm/file_system.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <ranges>

#include "base/mount_table.h"

namespace switchyard {
namespace {

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
  for (const MountEntry& mount : parse_mounts(mounts)) {
    const auto this_deep = static_cast<size_t>(std::distance(mount.point.begin(), mount.point.end()));
    if (this_deep < depth || !is_below(path, mount.point)) continue;  // of two on one point the later one is seen
    depth = this_deep;
    found = {mount.type, mount.point.native()};
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
