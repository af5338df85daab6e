// The control groups that this process is in, wherever they are mounted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// A directory of a control group, where its files are.
struct ControlGroup {
  std::filesystem::path directory;
  bool v2 = false;  ///< of the one hierarchy of version 2, else of the controller's own

  /// The number in a file of the group; empty when there is none, or it is "max".
  std::optional<uint64_t> number(std::string_view file) const;
  /// The number behind `key` in a file of lines "KEY NUMBER".
  std::optional<uint64_t> number(std::string_view file, std::string_view key) const;
};

/// The groups that limit this process in `controller` ("memory", "pids"): its own and all above it that can be seen, of
/// version 1, 2 or both. `root` has proc/ and whatever is mounted: a test's may be recorded.
std::vector<ControlGroup> control_groups(std::string_view controller, const std::filesystem::path& root = "/");

}  // namespace switchyard
