// Where an op runs: a device and what it needs there. One Stream per rank; passed to every op.
#pragma once

#include <functional>

#include "base/tensor.h"
#include "base/thread_pool.h"

namespace switchyard {

struct Stream {
  Device device = Device::cpu;
  ThreadPool* pool = nullptr;  ///< CPU: threads of this rank, never null
  /// Called by the rank's main thread between the tasks of a parallel loop: MPI moves messages only inside its calls.
  std::function<void()> poll;

  void parallel_for(int64_t num_tasks, const std::function<void(int64_t task, int worker)>& body) const {
    pool->parallel_for(num_tasks, body, poll);
  }
};

}  // namespace switchyard
