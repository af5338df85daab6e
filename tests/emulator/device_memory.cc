// Allocations and what is known of them.
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "device_limits.h"
#include "devices.h"

namespace switchyard::emulator {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;
// Of addresses that nobody may touch, behind every allocation and so before nearly every other.
constexpr size_t kGuardBytes = 16 << 20;

struct Block {
  Allocation allocation;
  void* mapping;
  size_t mapped;
  size_t taken;
};

class Table {
 public:
  static Table& get() {
    static Table& table = *new Table;  // outlives whatever frees memory at exit
    return table;
  }

  /// taken: bytes that the device loses.
  cudaError_t allocate(void** p, size_t bytes, MemoryKind kind, size_t taken) {
    *p = nullptr;
    const int device = current_device();
    if (num_devices() == 0) return cudaErrorNoDevice;
    if (bytes == 0) return cudaSuccess;
    if (bytes > size_t{1} << 46) return cudaErrorMemoryAllocation;
    const std::lock_guard lock(mutex_);
    if (kind == MemoryKind::device && taken > memory_of_device() - std::min(used_[device], memory_of_device()))
      return cudaErrorMemoryAllocation;
    // The end of the memory meets the guard.
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const size_t pages = (rounded + kPage - 1) / kPage * kPage;
    void* mapping = map(pages, kind);
    if (mapping == nullptr) return cudaErrorMemoryAllocation;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(mapping) + pages - rounded;
    blocks_[begin] = {{begin, begin + bytes, kind, device}, mapping, pages + kGuardBytes, taken};
    if (kind == MemoryKind::device) used_[device] += taken;
    *p = reinterpret_cast<void*>(begin);
    return cudaSuccess;
  }

  cudaError_t free(void* p, MemoryKind kind) {
    if (p == nullptr) return cudaSuccess;
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(reinterpret_cast<uintptr_t>(p));
    if (found == blocks_.end() || found->second.allocation.kind != kind) return cudaErrorInvalidValue;
    const Block& block = found->second;
    if (kind == MemoryKind::device) used_[block.allocation.device] -= block.taken;
    munmap(block.mapping, block.mapped);
    blocks_.erase(found);
    ++frees_;
    return cudaSuccess;
  }

  std::optional<Allocation> find(uintptr_t p) {
    const std::lock_guard lock(mutex_);
    auto after = blocks_.upper_bound(p);
    if (after == blocks_.begin()) return std::nullopt;
    const Allocation& allocation = std::prev(after)->second.allocation;
    if (p >= allocation.end) return std::nullopt;
    return allocation;
  }

  size_t used(int device) {
    const std::lock_guard lock(mutex_);
    return used_[device];
  }
  uint64_t frees() const { return frees_.load(std::memory_order_acquire); }

 private:
  Table() : ones_(memfd_create("switchyard-ones", MFD_CLOEXEC)) {
    const std::string ones(kOnes, '\xff');
    if (ones_ < 0 || write(ones_, ones.data(), kOnes) != static_cast<ssize_t>(kOnes)) std::abort();
  }

  /// `pages` bytes, of ones for a device, and the guard.
  void* map(size_t pages, MemoryKind kind) const {
    void* mapping =
        mmap(nullptr, pages + kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    auto* memory = static_cast<std::byte*>(mapping);
    bool ok = mprotect(memory + pages, kGuardBytes, PROT_NONE) == 0;
    // Copies on write of the same few ones: what is never written costs nothing.
    for (size_t at = 0; kind == MemoryKind::device && at < pages; at += kOnes)
      ok &= mmap(memory + at, std::min(kOnes, pages - at), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, ones_, 0) != MAP_FAILED;
    if (ok) return mapping;
    munmap(mapping, pages + kGuardBytes);
    return nullptr;
  }

  static constexpr size_t kOnes = 4 << 20;
  int ones_;
  std::mutex mutex_;
  std::map<uintptr_t, Block> blocks_;
  std::map<int, size_t> used_;
  std::atomic<uint64_t> frees_ = 0;
};

}  // namespace

size_t memory_of_device() {
  const char* bytes = std::getenv("SWITCHYARD_EMULATED_MEMORY");
  return bytes == nullptr ? size_t{2} << 30 : std::strtoull(bytes, nullptr, 10);
}

std::optional<Allocation> find_allocation(const void* p) {
  return Table::get().find(reinterpret_cast<uintptr_t>(p));
}

bool is_device_memory(const void* p, size_t bytes) {
  struct Known {
    std::array<Allocation, 4> allocations{};
    size_t next = 0;
    uint64_t frees = 0;
  };
  thread_local Known known;
  if (const uint64_t frees = Table::get().frees(); frees != known.frees) known = {.frees = frees};
  const auto at = reinterpret_cast<uintptr_t>(p);
  const auto holds = [&](const Allocation& a) {
    return at >= a.begin && at + bytes <= a.end && a.kind == MemoryKind::device && a.device == current_device();
  };
  for (const Allocation& allocation : known.allocations)
    if (holds(allocation)) return true;
  const std::optional<Allocation> found = find_allocation(p);
  if (!found || !holds(*found)) return false;
  known.allocations[known.next++ % known.allocations.size()] = *found;
  return true;
}

}  // namespace switchyard::emulator

using namespace switchyard::emulator;

cudaError_t cudaMalloc(void** p, size_t bytes) {
  // As a driver does it: a large block takes whole large pages.
  constexpr size_t kLargePage = 2 << 20;
  const size_t taken = bytes > kLargePage / 2 ? (bytes + kLargePage - 1) / kLargePage * kLargePage : bytes;
  return report(Table::get().allocate(p, bytes, MemoryKind::device, taken));
}
cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  return report(Table::get().allocate(p, bytes, MemoryKind::device, bytes));
}
cudaError_t cudaFree(void* p) {
  if (p != nullptr) finish_all();
  return report(Table::get().free(p, MemoryKind::device));
}
cudaError_t cudaMallocHost(void** p, size_t bytes) {
  return report(Table::get().allocate(p, bytes, MemoryKind::pinned, 0));
}
cudaError_t cudaFreeHost(void* p) {
  if (p != nullptr) finish_all();
  return report(Table::get().free(p, MemoryKind::pinned));
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (num_devices() == 0) return report(cudaErrorNoDevice);
  *total = memory_of_device();
  *free = *total - std::min(*total, Table::get().used(current_device()));
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const std::optional<Allocation> found = find_allocation(p);
  auto* pointer = const_cast<void*>(p);
  if (!found) {
    *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, pointer};
  } else if (found->kind == MemoryKind::pinned) {
    *attributes = {cudaMemoryTypeHost, found->device, pointer, pointer};
  } else {
    *attributes = {cudaMemoryTypeDevice, found->device, pointer, nullptr};
  }
  return cudaSuccess;
}
