// Memory of the host (anonymous pages, reserved at once, zero, given physical memory when first touched) or of a
// device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace switchyard {

enum class Device : uint8_t { cpu, cuda };
/// As --device and results say it.
constexpr std::string_view name_of(Device device) {
  return device == Device::cuda ? "cuda" : "cpu";
}

/// At least 64-byte aligned. Device memory is of the calling thread's device (use_device), and undefined at first.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes, Device device = Device::cpu);
  /// Host memory that a device reads and writes without a detour; plain memory in a build without CUDA.
  static Memory pinned(size_t bytes);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  using Free = void(std::byte* data, size_t bytes) noexcept;
  Memory(std::byte* data, size_t bytes, Free* free) : data_(data), size_(bytes), free_(free) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  Free* free_ = nullptr;
};

/// Fails (environment) unless so much can be reserved besides what is (ulimit -v): for libraries that do not look.
void require_address_space(size_t bytes);

}  // namespace switchyard
