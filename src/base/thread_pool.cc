#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread.h"

namespace switchyard {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable work, done;
  uint64_t generation = 0;
  int running = 0;
  bool stopping = false;
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t num_tasks = 0;
  std::atomic<int64_t> next{0};
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

  void drain(int worker, const std::function<void()>* poll) {
    for (int64_t task = next.fetch_add(1); task < num_tasks; task = next.fetch_add(1)) {
      try {
        (*body)(task, worker);
        if (poll != nullptr && *poll) (*poll)();
      } catch (...) {
        next.store(num_tasks);
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        return;
      }
    }
  }

  void run_worker(int worker) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      work.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      lock.unlock();
      drain(worker, nullptr);
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int num_threads, std::string_view purpose)
    : num_threads_(num_threads), state_(std::make_unique<State>()) {
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
    s.num_tasks = num_tasks;
    s.next.store(0);
    s.error = nullptr;
    if (!alone) {
      s.running = num_threads_ - 1;
      ++s.generation;
    }
  }
  if (!alone) s.work.notify_all();
  s.drain(0, &poll);
  std::unique_lock lock(s.mutex);
  s.done.wait(lock, [&] { return s.running == 0; });
  if (s.error) std::rethrow_exception(std::exchange(s.error, nullptr));
}

int available_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

}  // namespace switchyard
