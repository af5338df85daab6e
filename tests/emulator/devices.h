// The emulated devices' memory, and the order of their work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "emulator/runtime_api.h"

namespace switchyard::emulator {

/// Makes `code` the calling thread's last error, unless it is success, and returns it.
cudaError_t report(cudaError_t code);

int num_devices();
int current_device();  ///< the calling thread's

enum class MemoryKind : uint8_t { pinned, device };
struct Allocation {
  uintptr_t begin, end;  ///< `end` is where the asked-for bytes end
  MemoryKind kind;
  int device;
};
/// The allocation of the runtime's that `p` is in.
std::optional<Allocation> find_allocation(const void* p);
/// All bytes are in one allocation of the calling thread's device. Fast.
bool is_device_memory(const void* p, size_t bytes);

/// Does the work in the stream's order: now, or in deferred mode later.
void enqueue(cudaStream_t stream, std::function<void()> work);
/// In deferred mode: the work of all the device's streams is done.
void finish_device(int device);

}  // namespace switchyard::emulator
