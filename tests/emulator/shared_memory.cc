#include <fmt/format.h>

#include <cstring>

#include "devices.h"
#include "engine.h"

namespace switchyard::emulator {

size_t Engine::shared_offset(const void* p, size_t bytes, size_t alignment, const char* what) const {
  const auto begin = reinterpret_cast<uintptr_t>(shared_.get()), at = reinterpret_cast<uintptr_t>(p);
  if (at < begin || at + bytes > begin + shared_bytes_)
    fail(fmt::format("{} bytes {} to {} of shared memory, which has {}", what, static_cast<int64_t>(at - begin),
                     static_cast<int64_t>(at - begin + bytes), shared_bytes_));
  if (at % alignment != 0)
    fail(fmt::format("{} {} bytes at byte {} of shared memory, which is not aligned to {}", what, bytes, at - begin,
                     alignment));
  return at - begin;
}

void Engine::shared_access(const void* p, unsigned bytes, unsigned alignment, Access access) {
  require_running("an access to shared memory");
  const size_t offset = shared_offset(p, bytes, alignment, access == Access::read ? "reads" : "writes");
  if (races_are_watched_ && races_.races(current_, offset, bytes, access))
    fail(fmt::format("race at byte {} of shared memory: {}", offset, races_.report()));
}

void Engine::begin_copy(const Copies::Copy& copy) {
  require_running("an asynchronous copy");
  const auto bytes = static_cast<size_t>(copy.bytes);
  const size_t offset = shared_offset(copy.to, bytes, bytes, "an asynchronous copy writes");
  if (reinterpret_cast<uintptr_t>(copy.from) % bytes != 0)
    fail(fmt::format("an asynchronous copy from {}, which is not aligned to {}", copy.from, bytes));
  if (copy.valid && !is_device_memory(copy.from, bytes))
    fail(fmt::format("an asynchronous copy from {}, which is not in memory of the device", copy.from));
  if (races_are_watched_ && races_.begin_copy_races(current_, offset, bytes))
    fail(fmt::format("race at byte {} of shared memory: an asynchronous copy {}", offset, races_.report()));
  Copies& copies = threads_[current_].copies;
  copies.under_way.push_back(copy);
  copies.under_way.back().group = copies.groups;
}

void Engine::commit_copies() {
  require_running("an asynchronous copy");
  ++threads_[current_].copies.groups;
}

void Engine::wait_for_copies(int groups) {
  require_running("an asynchronous copy");
  Copies& copies = threads_[current_].copies;
  for (; copies.first < copies.under_way.size(); ++copies.first) {
    const Copies::Copy& copy = copies.under_way[copies.first];
    if (copy.group + static_cast<unsigned>(groups) >= copies.groups) return;
    const auto bytes = static_cast<size_t>(copy.bytes);
    if (copy.valid) {
      std::memcpy(copy.to, copy.from, bytes);
    } else {
      std::memset(copy.to, 0, bytes);
    }
    if (races_are_watched_)
      races_.end_copy(current_, static_cast<size_t>(static_cast<std::byte*>(copy.to) - shared_.get()), bytes);
  }
  copies.under_way.clear();
  copies.first = 0;
}

void fail_range(int64_t first, int64_t count, int64_t size) {
  Engine::get().fail(fmt::format("elements {} to {} of a shared array of {}", first, first + count, size));
}

std::byte* shared_memory() {
  return Engine::get().shared_memory();
}

void shared_access(const void* p, unsigned bytes, unsigned alignment, Access access) {
  Engine::get().shared_access(p, bytes, alignment, access);
}

}  // namespace switchyard::emulator
