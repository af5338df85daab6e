// Where an op runs: a device and what it needs there. One Stream per rank; passed to every op.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/layer_clock.h"
#include "base/pulse.h"
#include "base/tensor.h"
#include "base/thread_pool.h"
#include "base/work.h"

struct CUstream_st;  // CUDA's: cudaStream_t is a pointer to one

namespace switchyard {

/// What work takes of memory, from a stream that only measures: nothing is computed, and tensors may have a shape
/// alone.
struct Measurement {
  size_t held = 0;     ///< bytes of tensors made for good (hold())
  size_t working = 0;  ///< the most that any op takes: of each thread's scratch, or of a CUDA stream's workspace
};

struct Stream {
  Device device = Device::cpu;
  ThreadPool* pool = nullptr;  ///< threads of this rank, never null where something is computed
  /// Called by the rank's main thread between the tasks of a parallel loop: MPI moves messages only inside its calls.
  std::function<void()> poll = {};
  Pulse* pulse = nullptr;           ///< of a watched rank
  LayerClock* clock = nullptr;      ///< of a rank whose time is told by layer
  Measurement* measured = nullptr;  ///< where ops only say what they would take
  WorkLog* works = nullptr;         ///< where ops also say what they do, and, unless they measure, how long it took

  // On a CUDA device (DeviceStream makes such streams):
  CUstream_st* cuda = nullptr;          ///< the order of its work
  int device_index = 0;                 ///< which device
  std::span<std::byte> workspace = {};  ///< device memory that an op may use while it runs

  /// One that measures what work on the device would take.
  static Stream measuring(Device device, Measurement& measured) { return {.device = device, .measured = &measured}; }

  void parallel_for(int64_t num_tasks, const std::function<void(int64_t task, int worker)>& body) const {
    pool->parallel_for(num_tasks, body, poll);
  }
  void at_layer(size_t index) const {
    if (pulse != nullptr) pulse->layer(static_cast<int>(index));
    if (clock != nullptr) clock->enter(index);
  }
  void behind_layers() const {
    if (clock != nullptr) clock->leave();
  }
};

}  // namespace switchyard
