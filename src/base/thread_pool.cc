#include "base/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread.h"

namespace switchyard {

namespace {

/// How long who waits looks for itself before it sleeps: loops follow each other closely, and waking takes as long.
constexpr std::chrono::microseconds kLooking{50};

/// Until `there` holds, or for that long.
template <class Condition>
void look_for(const Condition& there) {
  const auto end = std::chrono::steady_clock::now() + kLooking;
  while (!there() && std::chrono::steady_clock::now() < end)
    for (int i = 0; i < 16; ++i) _mm_pause();
}

/// Tasks [next, end) that nobody has begun. On a cache line of its own.
struct alignas(64) Share {
  std::atomic<int64_t> next = 0;
  int64_t end = 0;
};

}  // namespace

struct ThreadPool::State {
  explicit State(int num_threads) : shares(static_cast<size_t>(num_threads)) {}

  std::mutex mutex;
  std::condition_variable work, done;
  std::atomic<uint64_t> generation = 0;  // changed under the mutex, as the next two
  std::atomic<int> running = 0;
  std::atomic<bool> stopping = false;
  const std::function<void(int64_t, int)>* body = nullptr;
  std::vector<Share> shares;  // [workers]
  std::exception_ptr error;
  std::vector<std::thread> threads;

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work.notify_all();
    for (auto& thread : threads) thread.join();
  }

  /// A worker's own share first, from its front: in loop after loop it meets the same rows, which are in its caches.
  /// Then what others have not begun.
  void drain(int worker, const std::function<void()>* poll) {
    const size_t num_shares = shares.size();
    for (size_t i = 0; i < num_shares; ++i) {
      Share& share = shares[(static_cast<size_t>(worker) + i) % num_shares];
      for (int64_t task = share.next.fetch_add(1); task < share.end; task = share.next.fetch_add(1)) {
        try {
          (*body)(task, worker);
          if (poll != nullptr && *poll) (*poll)();
        } catch (...) {
          for (Share& left : shares) left.next.store(left.end);
          const std::lock_guard lock(mutex);
          if (!error) error = std::current_exception();
          return;
        }
      }
    }
  }

  void run_worker(int worker) {
    uint64_t seen = 0;
    const auto called = [&] { return stopping || generation != seen; };
    while (true) {
      look_for(called);
      {
        std::unique_lock lock(mutex);
        work.wait(lock, called);
        if (stopping) return;
        seen = generation;
      }
      drain(worker, nullptr);
      const std::lock_guard lock(mutex);
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int num_threads, std::string_view purpose)
    : num_threads_(num_threads), state_(std::make_unique<State>(num_threads)) {
  SWITCHYARD_CHECK(num_threads >= 1, "a pool of {} threads", num_threads);
  State* const state = state_.get();
  for (int worker = 1; worker < num_threads; ++worker)
    state->threads.push_back(start_thread(fmt::format("{} {} of {}", purpose, worker + 1, num_threads),
                                          [state, worker] { state->run_worker(worker); }));
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::parallel_for(int64_t num_tasks, const std::function<void(int64_t, int)>& body,
                              const std::function<void()>& poll) {
  if (num_tasks <= 0) return;
  State& s = *state_;
  const bool alone = num_threads_ == 1 || num_tasks == 1;
  {
    const std::lock_guard lock(s.mutex);
    s.body = &body;
    for (int64_t i = 0; i < num_threads_; ++i) {
      Share& share = s.shares[static_cast<size_t>(i)];
      share.next.store(num_tasks * i / num_threads_);
      share.end = num_tasks * (i + 1) / num_threads_;
    }
    s.error = nullptr;
    if (!alone) {
      s.running = num_threads_ - 1;
      ++s.generation;
    }
  }
  if (!alone) s.work.notify_all();
  s.drain(0, &poll);
  look_for([&] { return s.running == 0; });
  std::unique_lock lock(s.mutex);
  s.done.wait(lock, [&] { return s.running == 0; });
  if (s.error) std::rethrow_exception(std::exchange(s.error, nullptr));
}

int available_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

std::string affinity_text() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return fmt::format("{}", fmt::join(cores, ","));
}

}  // namespace switchyard
