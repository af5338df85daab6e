// The program's only parallel loop. Libraries below it (oneDNN) run with one thread each, so that their blocking, and
// with it the bits of a result, never depends on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace switchyard {

class ThreadPool {
 public:
  /// num_threads ≥ 1, the caller included. Where that is not to be had it fails (environment), saying what for.
  explicit ThreadPool(int num_threads, std::string_view purpose = "worker");
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  /// Runs body(task, worker) for task in [0, num_tasks), worker in [0, num_threads); returns when all have ended. A
  /// worker begins with its own share, tasks that follow each other, the same in every loop of so many; then it helps
  /// the others. The caller is worker 0 and calls `poll` (may be empty) between its tasks. The first exception is
  /// rethrown here; tasks not yet started are dropped then. Called from one thread at a time, never from inside a body.
  void parallel_for(int64_t num_tasks, const std::function<void(int64_t task, int worker)>& body,
                    const std::function<void()>& poll = {});

 private:
  struct State;
  int num_threads_;
  std::unique_ptr<State> state_;
};

/// Cores this process may run on (its affinity mask), at least 1.
int available_cores();
/// Which those are: "0,1,6".
std::string affinity_text();

}  // namespace switchyard
