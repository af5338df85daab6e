// Where an op runs: a device and what it needs there. One Stream per rank; passed to every op.
#pragma once

#include <functional>

#include "base/pulse.h"
#include "base/tensor.h"
#include "base/thread_pool.h"

namespace switchyard {

struct Stream {
  Device device = Device::cpu;
  ThreadPool* pool = nullptr;  ///< CPU: threads of this rank, never null
  /// Called by the rank's main thread between the tasks of a parallel loop: MPI moves messages only inside its calls.
  std::function<void()> poll;
  Pulse* pulse = nullptr;  ///< of a watched rank

  void parallel_for(int64_t num_tasks, const std::function<void(int64_t task, int worker)>& body) const {
    pool->parallel_for(num_tasks, body, poll);
  }
  void at_layer(size_t index) const {
    if (pulse != nullptr) pulse->layer(static_cast<int>(index));
  }
};

}  // namespace switchyard
