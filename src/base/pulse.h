// What a rank is doing, as its watchdog thread sees it. The main thread writes, any thread reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace switchyard {

/// The communicators that a rank may wait in: each has its own sequence of operations, the same on all its ranks.
enum class WaitScope : uint8_t { world, group };

class Pulse {
 public:
  /// What is being done, as a person calls it; a literal, for it is not copied.
  void phase(const char* name) {
    layer_ = -1;
    phase_ = name;
    beat();
  }
  void layer(int index) {
    layer_ = index;
    beat();
  }
  /// "I am getting on": any step that cannot wait for another rank.
  void beat() { ++beats_; }

  /// A communicator's ranks, of the world: [first_rank, first_rank + num_ranks).
  void members(WaitScope scope, int first_rank, int num_ranks) {
    at(scope).first_rank = first_rank;
    at(scope).num_ranks = num_ranks;
  }
  /// This rank has come to the communicator's next operation.
  void arrive(WaitScope scope) {
    ++at(scope).sequence;
    beat();
  }
  void wait(WaitScope scope) { waiting_ = static_cast<int>(scope); }
  void leave() {
    waiting_ = -1;
    beat();
  }

  /// While one lives, the rank has more patience with itself (see Watchdog): for single steps of the operating system
  /// that may last, such as syncing a large file. A beat begins the next step.
  class Unhurried {
   public:
    explicit Unhurried(Pulse& pulse) : pulse_(pulse) { pulse_.unhurried_ = true; }
    ~Unhurried() {
      pulse_.unhurried_ = false;
      pulse_.beat();
    }
    Unhurried(const Unhurried&) = delete;
    Unhurried& operator=(const Unhurried&) = delete;

   private:
    Pulse& pulse_;
  };

  struct Reading {
    uint64_t beats = 0;
    bool unhurried = false;
    const char* phase = "";
    int layer = -1;                        ///< -1: in none
    int waiting = -1;                      ///< a WaitScope, or -1: not waiting for other ranks
    std::array<int64_t, 2> sequence = {};  ///< operations come to, by scope
    std::array<int, 2> first_rank = {}, num_ranks = {};
  };
  Reading read() const {
    Reading r;
    r.beats = beats_;
    r.unhurried = unhurried_;
    r.phase = phase_;
    r.layer = layer_;
    r.waiting = waiting_;
    for (size_t s = 0; s < scopes_.size(); ++s) {
      r.sequence[s] = scopes_[s].sequence;
      r.first_rank[s] = scopes_[s].first_rank;
      r.num_ranks[s] = scopes_[s].num_ranks;
    }
    return r;
  }

 private:
  struct Scope {
    std::atomic<int64_t> sequence{0};
    std::atomic<int> first_rank{0}, num_ranks{1};
  };
  Scope& at(WaitScope scope) { return scopes_[static_cast<size_t>(scope)]; }

  std::atomic<uint64_t> beats_{0};
  std::atomic<bool> unhurried_{false};
  std::atomic<const char*> phase_{"start"};
  std::atomic<int> layer_{-1}, waiting_{-1};
  std::array<Scope, 2> scopes_;
};

}  // namespace switchyard
