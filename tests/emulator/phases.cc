// Barriers in shared memory, and named ones.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine.h"

namespace switchyard::emulator {

Engine::Phases& Engine::phases_of(const void* barrier) {
  const auto found = std::ranges::find(phases_, barrier, &Phases::address);
  if (found == phases_.end()) fail("a barrier in shared memory that was not initialised");
  return *found;
}

void Engine::init_phases(const void* barrier, int count) {
  require_running("a barrier in shared memory");
  shared_offset(barrier, sizeof(uint64_t), sizeof(uint64_t), "a barrier takes");
  if (count < 1) fail(fmt::format("a barrier of {} arrivals", count));
  races_are_watched_ = false;
  phases_.push_back({.address = barrier, .count = count, .missing = count});
}

void Engine::end_phase_if_complete(Phases& phases) {
  if (phases.missing > 0 || phases.bytes != 0) return;
  phases.missing = phases.count;
  phases.parity ^= 1;
  for (const unsigned thread : std::exchange(phases.waiting, {})) make_ready(thread / 32, 1u << thread % 32);
}

void Engine::arrive(const void* barrier, int arrivals, int bytes) {
  require_running("a barrier in shared memory");
  Phases& phases = phases_of(barrier);
  if (arrivals > phases.missing) fail(fmt::format("more than {} arrivals at a barrier", phases.count));
  phases.missing -= arrivals;
  phases.bytes += bytes;
  end_phase_if_complete(phases);
}

void Engine::wait_in(Phases& phases, Wait kind, const Place& place) {
  phases.waiting.push_back(current_);
  threads_[current_].wait = kind;
  threads_[current_].place = place;
  wait();
}

void Engine::wait_for_phase(const void* barrier, uint32_t parity, const Place& place) {
  require_running("a barrier in shared memory");
  Phases& phases = phases_of(barrier);
  if (phases.parity == parity) wait_in(phases, Wait::phase, place);
}

void Engine::named_barrier(int id, int threads, const Place& place) {
  require_running("a named barrier");
  if (id < 1 || id >= kNamedBarriers || threads % 32 != 0) fail(fmt::format("barrier {} of {} threads", id, threads));
  Phases& phases = named_[id];
  if (phases.count == 0) phases.count = phases.missing = threads;
  if (phases.count != threads) fail(fmt::format("barrier {} of {} and of {} threads", id, phases.count, threads));
  if (--phases.missing > 0) return wait_in(phases, Wait::named_barrier, place);
  end_phase_if_complete(phases);
}

}  // namespace switchyard::emulator
