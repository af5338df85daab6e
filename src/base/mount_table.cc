#include "base/mount_table.h"

#include <algorithm>
#include <sstream>

namespace switchyard {
namespace {

/// Space, tab, line feed and backslash of a path are written as "\040" and the like.
std::string unescaped(const std::string& text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && text.find_first_not_of("01234567", i + 1) >= i + 4 && i + 4 <= text.size();
    path += escape ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escape) i += 3;
  }
  return path;
}

}  // namespace

std::vector<MountEntry> parse_mounts(std::string_view mountinfo) {
  std::vector<MountEntry> mounts;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream words(line);
    for (std::string field; std::getline(words, field, ' ');) fields.push_back(field);
    const auto dash = std::ranges::find(fields, "-");
    if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
    mounts.push_back({unescaped(fields[3]), unescaped(fields[4]), dash[1], dash[3]});
  }
  return mounts;
}

}  // namespace switchyard
