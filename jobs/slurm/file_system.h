// What kind of file system a path is on, and whether nodes share such.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace switchyard {

enum class Sharing : uint8_t { unknown, node_local, shared };

struct FileSystem {
  std::string type, mount_point;  ///< "nfs4", "/home"; empty: not known

  Sharing sharing() const;  ///< of such file systems by their nature
};

/// Of the last mount whose mount point is `path` (absolute, without links) or above it. `mounts`: the text of
/// /proc/self/mountinfo.
FileSystem find_file_system(const std::filesystem::path& path, std::string_view mounts);

/// Where `path`, relative or behind links, is on this host; if it is not there yet, where it would be.
FileSystem file_system_of(const std::filesystem::path& path);

/// "ext4", …: of a path on a file system of this host's own. Empty: other hosts mount it, or it cannot be told.
std::string local_disk_of(const std::filesystem::path& path);

}  // namespace switchyard
