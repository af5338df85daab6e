#include "jobs/batch/local_disk.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>

namespace switchyard {

std::string local_disk_of(std::filesystem::path path) {
  constexpr uint32_t kXfs = 0x58465342;
  struct statfs info = {};
  while (::statfs(path.c_str(), &info) != 0) {
    if (errno != ENOENT || !path.has_relative_path()) return {};
    path = path.parent_path();
  }
  switch (static_cast<uint32_t>(info.f_type)) {
    case TMPFS_MAGIC:
      return "tmpfs";
    case RAMFS_MAGIC:
      return "ramfs";
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlayfs";
    case kXfs:
      return "xfs";
    default:
      return {};
  }
}

}  // namespace switchyard
