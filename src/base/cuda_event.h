// Internal to code over the CUDA runtime: an event.
#pragma once

#include "base/cuda_call.h"
#include "base/handle.h"

namespace switchyard {

struct CudaEventTraits {
  using type = cudaEvent_t;
  static type null() { return nullptr; }
  static void destroy(type event) noexcept { cudaEventDestroy(event); }
};
using CudaEvent = Handle<CudaEventTraits>;

/// Of the calling thread's device.
inline CudaEvent make_cuda_event(unsigned flags = cudaEventDisableTiming) {
  cudaEvent_t event = nullptr;
  SWITCHYARD_CUDA_CALL(cudaEventCreateWithFlags(&event, flags));
  return CudaEvent(event);
}

}  // namespace switchyard
