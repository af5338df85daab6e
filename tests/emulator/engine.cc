#include "engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace switchyard::emulator {

constinit thread_local Engine* Engine::engine_ = nullptr;

Engine& Engine::make() {
  static thread_local Engine engine;
  engine_ = &engine;
  return engine;
}

namespace {

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace

Engine::Engine() : crash_report_(*this) {
  if (const char* seed = std::getenv("SWITCHYARD_EMULATED_SCHEDULE")) seed_ = std::strtoull(seed, nullptr, 10);
  if (const char* check = std::getenv("SWITCHYARD_EMULATED_RACE_CHECK")) race_check_ = std::strcmp(check, "0") != 0;
}

uint64_t Engine::random() {  // xorshift64*
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return (random_ * 0x2545f4914f6cdd1dULL) >> 32;
}

void Engine::run(dim3 grid, unsigned threads, size_t shared_bytes, const std::function<void()>& kernel) {
  SWITCHYARD_CHECK(!in_kernel_, "a launch inside a kernel");
  num_threads_ = threads;
  if (threads_.size() < threads) threads_.resize(threads);
  warps_.assign((threads + 31) / 32, {});
  for (unsigned t = 0; t < threads; ++t) warps_[t / 32].members |= 1u << t % 32;
  shared_bytes_ = shared_bytes;
  // Exactly as long as asked for, so that AddressSanitizer sees what goes beyond.
  void* memory = nullptr;
  if (posix_memalign(&memory, 1024, std::max<size_t>(shared_bytes, 1)) != 0) throw std::bad_alloc();
  shared_.reset(static_cast<std::byte*>(memory));
  random_ = seed_ * 0x9e3779b97f4a7c15ULL;  // a launch's order does not depend on the launches before
  gridDim = grid;
  blockDim = dim3(threads);

  const uint64_t num_blocks = uint64_t{grid.x} * grid.y * grid.z;
  std::vector<uint64_t> order;
  if (seed_ != 0) {
    order.resize(num_blocks);
    std::iota(order.begin(), order.end(), uint64_t{0});
    for (size_t i = num_blocks; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  }
  for (uint64_t i = 0; i < num_blocks; ++i) {
    const uint64_t block = order.empty() ? i : order[i];
    blockIdx = {static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y),
                static_cast<unsigned>(block / grid.x / grid.y)};
    run_block(kernel);
  }
}

void Engine::run_block(const std::function<void()>& kernel) {
  kernel_ = &kernel;
  std::memset(shared_.get(), 0xff, shared_bytes_);
  races_are_watched_ = race_check_;
  if (race_check_) races_.begin_block(num_threads_, shared_bytes_);
  phases_.clear();
  for (Phases& named : named_) named = {};
  ready_warps_ = 0;
  for (unsigned w = 0; w < warps_.size(); ++w) {
    warps_[w].ended = warps_[w].waiting = warps_[w].ready = 0;
    make_ready(w, warps_[w].members);
  }
  for (unsigned t = 0; t < num_threads_; ++t) {
    Thread& thread = threads_[t];
    thread.fiber = nullptr;
    thread.wait = Wait::nothing;
    thread.ended = false;
    thread.copies.under_way.clear();
    thread.copies.first = thread.copies.groups = 0;
  }
  live_ = num_threads_;
  arrived_ = 0;
  true_predicates_ = 0;
  current_ = 0;

  in_kernel_ = true;
  Fiber& first = fiber_of(take_ready());
  running_ = &first;
  main_.switch_to(first);
  if (error_ != nullptr) abort_block();
  in_kernel_ = false;
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

/// Ends the threads that wait in the middle of the kernel, so that their stacks are unwound.
void Engine::abort_block() {
  aborting_ = true;
  for (unsigned t = 0; t < num_threads_; ++t) {
    if (threads_[t].fiber == nullptr || threads_[t].ended) continue;
    current_ = t;
    running_ = threads_[t].fiber;
    main_.switch_to(*running_);
  }
  aborting_ = false;
}

void Engine::fiber_entry() {
  Engine::get().live();
}

/// The life of a fiber: it runs threads from begin to end, as long as there are any that have not begun.
void Engine::live() {
  Fiber& self = *running_;
  for (;;) {
    run_thread();
    Fiber* next = next_after_end();
    if (next == &self) continue;
    idle_.push_back(&self);
    running_ = next;
    self.switch_to(*next);
  }
}

void Engine::run_thread() {
  try {
    (*kernel_)();
    end_thread();
  } catch (const Aborted&) {
  } catch (...) {
    if (error_ == nullptr) error_ = std::current_exception();
  }
  threads_[current_].ended = true;
}

/// The fiber that runs after the current thread's end: this one again when another thread begins.
Fiber* Engine::next_after_end() {
  if (error_ != nullptr || live_ == 0) return &main_;
  if (ready_warps_ == 0) {
    try {
      fail(describe_stuck());
    } catch (...) {
      error_ = std::current_exception();
    }
    return &main_;
  }
  const unsigned next = take_ready();
  if (threads_[next].fiber == nullptr) {
    threads_[next].fiber = running_;
    make_current(next);
    return running_;
  }
  make_current(next);
  return threads_[next].fiber;
}

void Engine::make_ready(unsigned warp, unsigned lanes) {
  warps_[warp].ready |= lanes;
  ready_warps_ |= (lanes != 0 ? 1u : 0u) << warp;
}

/// In order: the running warp goes on while it can, which also keeps its stacks in the cache.
unsigned Engine::take_ready() {
  unsigned w = current_ / 32;
  unsigned lane = 0;
  if (seed_ != 0) {
    w = random_bit(ready_warps_);
    lane = random_bit(warps_[w].ready);
  } else {
    if (warps_[w].ready == 0) w = static_cast<unsigned>(std::countr_zero(ready_warps_));
    lane = static_cast<unsigned>(std::countr_zero(warps_[w].ready));
  }
  Warp& warp = warps_[w];
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) ready_warps_ &= ~(1u << w);
  return w * 32 + lane;
}

unsigned Engine::random_bit(unsigned bits) {
  for (uint64_t skip = random() % static_cast<unsigned>(std::popcount(bits)); skip > 0; --skip) bits &= bits - 1;
  return static_cast<unsigned>(std::countr_zero(bits));
}

void Engine::make_current(unsigned thread) {
  current_ = thread;
  threadIdx.x = thread;
}

/// The thread's fiber, made current; an idle one when it has not begun.
Fiber& Engine::fiber_of(unsigned thread) {
  make_current(thread);
  Thread& t = threads_[thread];
  if (t.fiber == nullptr) {
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>(&Engine::fiber_entry, static_cast<unsigned>(fibers_.size())));
      idle_.push_back(fibers_.back().get());
    }
    t.fiber = idle_.back();
    idle_.pop_back();
  }
  return *t.fiber;
}

/// Lets others run until this thread is ready and has its turn.
void Engine::wait() {
  if (ready_warps_ == 0) fail(describe_stuck());
  const unsigned me = current_;
  Fiber& self = *running_;
  Fiber& next = fiber_of(take_ready());
  if (&next != &self) {
    running_ = &next;
    self.switch_to(next);
  }
  if (aborting_) throw Aborted();
  current_ = me;
  threadIdx.x = me;
}

void Engine::yield() {
  require_running("__nanosleep");
  make_ready(current_ / 32, 1u << current_ % 32);
  wait();
}

int Engine::barrier(Wait kind, bool predicate, const Place& place) {
  require_running("__syncthreads");
  Thread& me = threads_[current_];
  me.wait = kind;
  me.place = place;
  true_predicates_ += predicate;
  if (++arrived_ < live_) {
    wait();
  } else {
    complete_barrier(kind, place);
  }
  return barrier_result_;
}

void Engine::complete_barrier(Wait kind, const Place& place) {
  for (unsigned t = 0; t < num_threads_; ++t) {
    const Thread& thread = threads_[t];
    if (thread.ended) continue;
    if (thread.wait != kind || !same(thread.place, place))
      fail(fmt::format("threads of one block meet in different barriers: thread {} {}, but another at {}:{}", t,
                       describe_wait(t), place.file_name(), place.line()));
  }
  for (unsigned w = 0; w < warps_.size(); ++w) make_ready(w, warps_[w].members & ~warps_[w].ended);
  // The last to come goes on at once; when it is a thread's end that completes the barrier, that is nobody.
  if (!threads_[current_].ended) {
    const unsigned w = current_ / 32;
    warps_[w].ready &= ~(1u << current_ % 32);
    if (warps_[w].ready == 0) ready_warps_ &= ~(1u << w);
  }
  barrier_result_ = std::exchange(true_predicates_, 0);
  arrived_ = 0;
  if (races_are_watched_) races_.barrier();
}

void Engine::warp_operation(Wait kind, unsigned mask, void* arguments, Complete complete, const Place& place) {
  require_running("a warp operation");
  const unsigned me = current_, first = me / 32 * 32, bit = 1u << me % 32;
  Warp& warp = warps_[me / 32];
  Thread& self = threads_[me];
  self.wait = kind;
  self.mask = mask;
  self.place = place;
  if ((mask & bit) == 0) fail(fmt::format("this lane is not in the mask it gives: it {}", describe_wait(me)));
  if (const unsigned wrong = mask & (~warp.members | warp.ended); wrong != 0)
    fail(fmt::format("the mask names lane {}, which {}: this thread {}", std::countr_zero(wrong),
                     (warp.ended & wrong) != 0 ? "has ended" : "does not exist", describe_wait(me)));
  warp.arguments[me % 32] = arguments;
  warp.waiting |= bit;
  bool all = (warp.waiting & mask) == mask;
  for (unsigned rest = all ? mask & ~bit : 0; rest != 0; rest &= rest - 1) {
    const Thread& other = threads_[first + static_cast<unsigned>(std::countr_zero(rest))];
    if (other.mask != mask) {
      all = false;
    } else if (other.wait != kind) {
      fail(fmt::format("lanes of one mask meet in different operations: this thread {}, thread {} {}",
                       describe_wait(me), first + static_cast<unsigned>(std::countr_zero(rest)),
                       describe_wait(first + static_cast<unsigned>(std::countr_zero(rest)))));
    }
  }
  if (!all) return wait();
  if (complete != nullptr) complete(warp.arguments, mask);
  if (kind == Wait::sync_warp && races_are_watched_) races_.sync_warp(me / 32, mask, mask == warp.members);
  warp.waiting &= ~mask;
  make_ready(me / 32, mask & ~bit);
}

void Engine::end_thread() {
  Thread& me = threads_[current_];
  Warp& warp = warps_[current_ / 32];
  const unsigned bit = 1u << current_ % 32;
  me.ended = true;
  warp.ended |= bit;
  --live_;
  for (unsigned rest = warp.waiting; rest != 0; rest &= rest - 1) {
    const unsigned t = current_ / 32 * 32 + static_cast<unsigned>(std::countr_zero(rest));
    if ((threads_[t].mask & bit) != 0)
      fail(fmt::format("this thread ends, but thread {} {} for it", t, describe_wait(t)));
  }
  if (live_ == 0 || arrived_ < live_) return;
  // This thread was the last that the others waited for.
  for (unsigned t = 0; t < num_threads_; ++t)
    if (!threads_[t].ended) return complete_barrier(threads_[t].wait, threads_[t].place);
}

}  // namespace switchyard::emulator
