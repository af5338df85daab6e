// Which file systems a host has for itself.
#pragma once

#include <filesystem>
#include <string>

namespace switchyard {

/// "ext4", …: of this host, though it may export it. Empty: other hosts mount it, or it cannot be told. Of a path, or
/// of the nearest folder above that exists.
std::string local_disk_of(std::filesystem::path path);

}  // namespace switchyard
