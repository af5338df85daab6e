#include "io/temporary_file.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

namespace switchyard {
namespace {

/// A handler may touch nothing that allocates or locks: the names lie in fixed places.
struct Slot {
  std::atomic<bool> taken{false}, named{false};
  std::array<char, 4096> path{};
};
std::array<Slot, 16> slots;  // a process has a few at a time; those beyond are not found

int take_slot(const std::string& path) {
  for (size_t i = 0; path.size() < slots[0].path.size() && i < slots.size(); ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
    slots[i].named = true;
    return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& target)
    : target_(target), path_(temporary_path(target)), slot_(take_slot(path_)) {}

TemporaryFile::~TemporaryFile() {
  ::unlink(path_.c_str());  // a published file has no such name any more
  if (slot_ < 0) return;
  slots[static_cast<size_t>(slot_)].named = false;
  slots[static_cast<size_t>(slot_)].taken = false;
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& target) : target_(target), path_(temporary_path(target)) {
  make_directories(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;  // a published directory has no such name any more
  std::filesystem::remove_all(path_, ignored);
}

void remove_unpublished_files() noexcept {
  for (const Slot& slot : slots)
    if (slot.named) ::unlink(slot.path.data());
}

}  // namespace switchyard
