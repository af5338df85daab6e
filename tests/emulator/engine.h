// Runs the blocks of a launch one after another, the threads of each as fibers. One engine an OS thread.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crash.h"
#include "emulator/block.h"
#include "emulator/shared.h"
#include "fiber.h"
#include "races.h"

namespace switchyard::emulator {

/// Copies that a thread has begun, oldest first.
struct Copies {
  struct Copy {
    void* to;
    const void* from;
    int bytes;
    bool valid;
    unsigned group;
  };
  std::vector<Copy> under_way;
  size_t first = 0;  ///< those before it are complete
  unsigned groups = 0;
};

class Engine {
 public:
  /// Of this OS thread.
  static Engine& get() { return engine_ != nullptr ? *engine_ : make(); }
  Engine();

  void run(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& kernel);
  /// What a fault at this address means; empty outside kernels.
  std::string describe_fault(const void* address) const;
  void set_schedule(uint64_t seed) { seed_ = seed; }
  void set_race_check(bool on) { race_check_ = on; }

  // For the running thread:
  int barrier(Wait kind, bool predicate, const Place& place);
  void warp_operation(Wait kind, unsigned mask, void* arguments, Complete complete, const Place& place);
  void yield();
  std::byte* shared_memory() const { return shared_.get(); }
  void shared_access(const void* p, unsigned bytes, unsigned alignment, Access access);
  void begin_copy(const Copies::Copy& copy);
  void commit_copies();
  void wait_for_copies(int groups);
  void init_phases(const void* barrier, int count);
  /// arrivals: 0 or 1; bytes: more that are expected, or, below 0, that have come
  void arrive(const void* barrier, int arrivals, int bytes);
  void wait_for_phase(const void* barrier, uint32_t parity, const Place& place);
  void named_barrier(int id, int threads, const Place& place);
  [[noreturn]] void fail(const std::string& what) const;

 private:
  struct Thread {
    Fiber* fiber = nullptr;  ///< null before the thread's first turn
    Wait wait = Wait::nothing;
    bool ended = false;
    unsigned mask = 0;  ///< of the warp operation that it waits in
    Place place;
    Copies copies;
  };
  struct Warp {
    unsigned members = 0;  ///< lanes, as bits
    unsigned ended = 0, ready = 0;
    unsigned waiting = 0;  ///< in a warp operation
    void* arguments[32];
  };
  /// A barrier in shared memory, or a named one.
  struct Phases {
    const void* address = nullptr;
    int count = 0, missing = 0, bytes = 0;
    uint32_t parity = 0;                 ///< of the phase that has not ended
    std::vector<unsigned> waiting = {};  ///< threads
  };
  struct Aborted {};  ///< thrown through the other threads of a block that failed

  static Engine& make();
  static void fiber_entry();
  void live();
  void run_block(const std::function<void()>& kernel);
  void abort_block();
  void run_thread();
  Fiber* next_after_end();

  void make_ready(unsigned warp, unsigned lanes);
  unsigned take_ready();
  Fiber& fiber_of(unsigned thread);
  void make_current(unsigned thread);
  void wait();
  void complete_barrier(Wait kind, const Place& place);
  Phases& phases_of(const void* barrier);
  void end_phase_if_complete(Phases& phases);
  void wait_in(Phases& phases, Wait kind, const Place& place);
  void end_thread();
  size_t shared_offset(const void* p, size_t bytes, size_t alignment, const char* what) const;
  void require_running(const char* what) const;

  std::string describe_stuck() const;
  std::string describe_wait(unsigned thread) const;

  uint64_t random();
  unsigned random_bit(unsigned bits);

  static constinit thread_local Engine* engine_;

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  Fiber main_;
  Fiber* running_ = &main_;

  // The block.
  const std::function<void()>* kernel_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  unsigned num_threads_ = 0, live_ = 0, current_ = 0;
  unsigned arrived_ = 0;  ///< threads in the barrier
  int true_predicates_ = 0, barrier_result_ = 0;
  bool in_kernel_ = false, aborting_ = false;
  std::exception_ptr error_;

  unsigned ready_warps_ = 0;  ///< with a lane that can go on, as bits

  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte[], Free> shared_;
  size_t shared_bytes_ = 0;
  std::vector<Phases> phases_;  ///< of the block
  static constexpr int kNamedBarriers = 16;
  Phases named_[kNamedBarriers];
  bool race_check_ = true;         ///< as it was asked for
  bool races_are_watched_ = true;  ///< of this block
  Races races_;
  uint64_t seed_ = 0, random_ = 0;
  CrashReport crash_report_;
};

}  // namespace switchyard::emulator
