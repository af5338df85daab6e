#pragma once

#include <cstddef>
#include <filesystem>

namespace switchyard {

/// Memory that this process may hope for, in bytes: what the machine has available or its control groups leave,
/// whichever is less. What a group uses as page cache counts as left: it gives way. `root`: see control_groups.
size_t available_memory(const std::filesystem::path& root = "/");

}  // namespace switchyard
