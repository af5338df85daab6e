#include "base/memory.h"

#include <sys/mman.h>

#include <utility>

#include "base/device_memory.h"
#include "base/error.h"

namespace switchyard {
namespace {

std::byte* map_pages(size_t bytes) {
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail(ExitCode::environment, "memory: {} bytes could not be reserved", bytes);
  // Huge pages save TLB misses on weights; where the kernel refuses, nothing but speed is lost.
  if (bytes >= size_t{2} << 20) ::madvise(p, bytes, MADV_HUGEPAGE);
  return static_cast<std::byte*>(p);
}

void unmap_pages(std::byte* data, size_t bytes) noexcept {
  ::munmap(data, bytes);
}

}  // namespace

void require_address_space(size_t bytes) {
  void* p = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    fail(ExitCode::environment, "memory: {} bytes of address space could not be reserved (ulimit -v?)", bytes);
  ::munmap(p, bytes);
}

Memory::Memory(size_t bytes, Device device) : size_(bytes) {
  if (bytes == 0) return;
  data_ = device == Device::cpu ? map_pages(bytes) : allocate_device_memory(bytes);
  free_ = device == Device::cpu ? unmap_pages : free_device_memory;
}

Memory Memory::pinned(size_t bytes) {
  if (bytes == 0) return {};
  if (std::byte* data = allocate_pinned_memory(bytes)) return {data, bytes, free_pinned_memory};
  return Memory(bytes);
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), free_(other.free_) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(free_, other.free_);
  return *this;
}

Memory::~Memory() {
  if (data_ != nullptr) free_(data_, size_);
}

}  // namespace switchyard
