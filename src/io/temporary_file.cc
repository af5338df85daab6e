#include "io/temporary_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

namespace switchyard {
namespace {

/// A handler may touch nothing that allocates or locks: the names lie in fixed places.
struct Slot {
  std::atomic<bool> taken{false}, named{false};
  bool is_folder = false;
  std::array<char, 4096> path{};
};
std::array<Slot, 16> slots;  // a process has a few at a time; those beyond are not found

int take_slot(const std::string& path, bool is_folder) {
  for (size_t i = 0; path.size() < slots[0].path.size() && i < slots.size(); ++i) {
    if (slots[i].taken.exchange(true)) continue;
    std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
    slots[i].is_folder = is_folder;
    slots[i].named = true;
    return static_cast<int>(i);
  }
  return -1;
}

void give_back(int slot) {
  if (slot < 0) return;
  slots[static_cast<size_t>(slot)].named = false;
  slots[static_cast<size_t>(slot)].taken = false;
}

/// All that a handler may do about a folder: have another program remove it.
void remove_tree(const char* path) noexcept {
  const pid_t child = ::_Fork();
  if (child == 0) {
    ::execl("/bin/rm", "rm", "-rf", "--", path, nullptr);
    ::_exit(1);
  }
  if (child > 0) ::waitpid(child, nullptr, 0);
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& target)
    : target_(target), path_(temporary_path(target)), slot_(take_slot(path_, false)) {}

TemporaryFile::~TemporaryFile() {
  ::unlink(path_.c_str());  // a published file has no such name any more
  give_back(slot_);
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& target)
    : target_(target), path_(temporary_path(target)), slot_(take_slot(path_, true)) {
  make_directories(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;  // a published directory has no such name any more
  std::filesystem::remove_all(path_, ignored);
  give_back(slot_);
}

void remove_unpublished_files() noexcept {
  for (const Slot& slot : slots) {
    if (!slot.named) continue;
    if (slot.is_folder)
      remove_tree(slot.path.data());
    else
      ::unlink(slot.path.data());
  }
}

}  // namespace switchyard
