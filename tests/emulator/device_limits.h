// What an emulated device has.
#pragma once

#include <cstddef>

namespace switchyard::emulator {

inline constexpr int kMultiprocessors = 4;
inline constexpr int kMaxThreads = 1024;  ///< of a block
inline constexpr int kL2Bytes = 32 << 20;
inline constexpr int kSharedBytesWithoutAsking = 48 << 10;
inline constexpr int kMaxSharedBytes = 227 << 10;  ///< sm_90's

/// SWITCHYARD_EMULATED_MEMORY, or 2 GiB.
size_t memory_of_device();

}  // namespace switchyard::emulator
