#include "base/memory.h"

#include <sys/mman.h>

#include <utility>

#include "base/error.h"

namespace switchyard {

Memory::Memory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail(ExitCode::environment, "memory: {} bytes could not be reserved", bytes);
  data_ = static_cast<std::byte*>(p);
  // Huge pages save TLB misses on weights; where the kernel refuses, nothing but speed is lost.
  if (bytes >= size_t{4} << 20) ::madvise(p, bytes, MADV_HUGEPAGE);
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Memory::~Memory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace switchyard
