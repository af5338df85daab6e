// Streams, events and launches. In immediate mode work is done when it is given, in deferred mode (set_deferred) when
// somebody asks for it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "device_limits.h"
#include "devices.h"
#include "engine.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Moment {
  bool come = false;
  Clock::time_point when;
};

struct Work {
  std::function<void()> run;
  std::shared_ptr<const Moment> after;  ///< must have come
};

}  // namespace

struct CUevent_st {
  std::shared_ptr<Moment> moment;  ///< of the last record
};

struct CUstream_st {
  int device;
  std::deque<Work> queue;
};

namespace switchyard::emulator {
namespace {

/// The streams of all devices. Its mutex is held while deferred work runs.
class Scheduler {
 public:
  static Scheduler& get() {
    static Scheduler& scheduler = *new Scheduler;
    return scheduler;
  }

  bool deferred() const { return deferred_; }
  void set_deferred(uint64_t seed) {
    const std::lock_guard lock(mutex_);
    deferred_ = seed != 0;
    random_ = seed;
  }
  std::recursive_mutex& mutex() { return mutex_; }

  void add(cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    streams_.push_back(stream);
  }
  void remove(cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    std::erase(streams_, stream);
  }
  bool knows(cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    return std::find(streams_.begin(), streams_.end(), stream) != streams_.end();
  }

  void give(cudaStream_t stream, Work work) {
    if (!deferred_ || stream == nullptr) {
      if (work.run) work.run();
      return;
    }
    const std::lock_guard lock(mutex_);
    stream->queue.push_back(std::move(work));
  }

  /// Runs work of any stream until `done`; stops when nothing can run. Faults of kernels are kept for rethrow().
  template <class Done>
  void run_until(Done done) {
    const std::lock_guard lock(mutex_);
    while (!done() && step()) {
    }
  }
  void rethrow() {
    const std::lock_guard lock(mutex_);
    if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  bool failed() {
    const std::lock_guard lock(mutex_);
    return error_ != nullptr;
  }

  /// Does one piece of work, if any can be done.
  bool step() {
    std::vector<cudaStream_t> able;
    for (cudaStream_t stream : streams_) {
      while (!stream->queue.empty() && !stream->queue.front().run && stream->queue.front().after->come)
        stream->queue.pop_front();
      if (!stream->queue.empty() && stream->queue.front().run) able.push_back(stream);
    }
    if (able.empty()) return false;
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    cudaStream_t stream = able[(random_ >> 33) % able.size()];
    const Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    const int device = current_device();
    cudaSetDevice(stream->device);
    try {
      work.run();
    } catch (...) {
      if (error_ == nullptr) error_ = std::current_exception();
    }
    cudaSetDevice(device);
    return true;
  }

 private:
  Scheduler() {
    if (const char* seed = std::getenv("SWITCHYARD_EMULATED_DEFER")) set_deferred(std::strtoull(seed, nullptr, 10));
  }

  std::atomic<bool> deferred_ = false;
  uint64_t random_ = 0;
  std::recursive_mutex mutex_;
  std::vector<cudaStream_t> streams_;
  std::exception_ptr error_;
};

void finish_stream(cudaStream_t stream) {
  Scheduler::get().run_until([&] { return stream->queue.empty(); });
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> work) {
  Scheduler::get().give(stream, {std::move(work), nullptr});
}

bool deferred() {
  return Scheduler::get().deferred();
}

void set_deferred(uint64_t seed) {
  Scheduler::get().set_deferred(seed);
}

void finish_all() {
  Scheduler::get().run_until([] { return false; });
}

void launch(cudaStream_t stream, dim3 grid, unsigned threads, size_t shared_bytes, std::function<void()> kernel) {
  constexpr unsigned kMaxGridX = 0x7fffffff, kMaxGridYZ = 0xffff;
  const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= kMaxGridX && grid.y <= kMaxGridYZ &&
                    grid.z <= kMaxGridYZ && threads > 0 && threads <= kMaxThreads;
  if (!fits) return static_cast<void>(report(cudaErrorInvalidConfiguration));
  if (shared_bytes > kMaxSharedBytes) return static_cast<void>(report(cudaErrorInvalidValue));
  if (num_devices() == 0) return static_cast<void>(report(cudaErrorNoDevice));
  if (stream != nullptr && stream->device != current_device())
    return static_cast<void>(report(cudaErrorInvalidResourceHandle));
  enqueue(stream, [=] { Engine::get().run(grid, threads, shared_bytes, kernel); });
}

}  // namespace switchyard::emulator

using namespace switchyard::emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (num_devices() == 0) return report(cudaErrorNoDevice);
  *stream = new CUstream_st{current_device(), {}};
  Scheduler::get().add(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!Scheduler::get().knows(stream)) return report(cudaErrorInvalidResourceHandle);
  finish_stream(stream);
  Scheduler::get().remove(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) return report(num_devices() == 0 ? cudaErrorNoDevice : cudaSuccess);  // done when it is given
  if (!Scheduler::get().knows(stream)) return report(cudaErrorInvalidResourceHandle);
  finish_stream(stream);
  Scheduler::get().rethrow();
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (num_devices() == 0) return report(cudaErrorNoDevice);
  finish_all();
  return report(Scheduler::get().failed() ? cudaErrorLaunchFailure : cudaSuccess);  // kept for who asks for a stream
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (stream == nullptr) return cudaSuccess;
  if (!Scheduler::get().knows(stream)) return report(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(Scheduler::get().mutex());
  if (!stream->queue.empty()) Scheduler::get().step();
  Scheduler::get().rethrow();
  return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(Scheduler::get().mutex());
  if (event->moment != nullptr) Scheduler::get().give(stream, {nullptr, event->moment});
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  enqueue(stream, [=] { function(data); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  const auto moment = std::make_shared<Moment>();
  const std::lock_guard lock(Scheduler::get().mutex());
  event->moment = moment;
  enqueue(stream, [moment] {
    const std::lock_guard inner(Scheduler::get().mutex());
    moment->when = Clock::now();
    moment->come = true;
  });
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(Scheduler::get().mutex());
  if (event->moment == nullptr || event->moment->come) return cudaSuccess;
  Scheduler::get().step();
  Scheduler::get().rethrow();
  return event->moment->come ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(Scheduler::get().mutex());
  Scheduler::get().run_until([&] { return event->moment == nullptr || event->moment->come; });
  Scheduler::get().rethrow();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (start == nullptr || end == nullptr || start->moment == nullptr || end->moment == nullptr)
    return report(cudaErrorInvalidResourceHandle);
  if (!start->moment->come || !end->moment->come) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->moment->when - start->moment->when).count();
  return cudaSuccess;
}
