// Internal to base/: allocation and copies by the CUDA runtime, or by nobody in a build without it.
#pragma once

#include <cstddef>

#include "base/stream.h"

namespace switchyard {

/// Of the calling thread's device; fails (environment) with numbers when there is not enough.
std::byte* allocate_device_memory(size_t bytes);
void free_device_memory(std::byte* data, size_t bytes) noexcept;

/// Null in a build without CUDA.
std::byte* allocate_pinned_memory(size_t bytes);
void free_pinned_memory(std::byte* data, size_t bytes) noexcept;

/// copy() of some bytes, of which one end at least is a device's.
void copy_between_devices(const Stream& stream, ConstView from, View to);

}  // namespace switchyard
