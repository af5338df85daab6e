// Which file systems a host has for itself.
#pragma once

#include <filesystem>
#include <string>

namespace switchyard {

struct LocalDisk {
  std::string name;  ///< "ext4", …: of this host, though it may export it; empty: others mount it, or it is unknown
  bool is_memory = false;  ///< no other host can see it
};

/// Of a path, or of the nearest folder above that exists.
LocalDisk local_disk_of(std::filesystem::path path);

}  // namespace switchyard
