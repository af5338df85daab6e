// What an emulated device has.
#pragma once

#include <cstddef>

namespace switchyard::emulator {

inline constexpr int kMultiprocessors = 4;
inline constexpr int kMaxThreads = 1024;  ///< of a block
inline constexpr int kL2Bytes = 32 << 20;
inline constexpr int kSharedBytesWithoutAsking = 48 << 10;
inline constexpr int kMaxSharedBytes = 163 << 10;  ///< sm_80's: kernels must run there too

/// SWITCHYARD_EMULATED_MEMORY, or 2 GiB.
size_t memory_of_device();

}  // namespace switchyard::emulator
