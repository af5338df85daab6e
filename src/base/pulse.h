// What a rank is doing, as its watchdog thread sees it. The main thread writes, any thread reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

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

  /// A communicator that this rank may wait in; returns its id. Each has its own sequence of operations, the same on
  /// all its ranks. name: unlike those of the rank's other ones, the same on all its ranks; ranks: of the world.
  int add_communicator(std::string name, std::vector<int> ranks) {
    const std::lock_guard lock(mutex_);
    communicators_.emplace_back(std::move(name), std::move(ranks));
    return static_cast<int>(communicators_.size()) - 1;
  }
  /// This rank has come to the communicator's next operation.
  void arrive(int id) {
    ++communicators_[static_cast<size_t>(id)].sequence;  // only this thread adds communicators
    beat();
  }
  void wait(int id) { waiting_ = id; }
  void leave(int id) {
    waiting_.compare_exchange_strong(id, -1);  // else another one is waited in
    beat();
  }
  /// The main thread has been blocked so long in an operation of a communicator.
  void communicated(double seconds) { seconds_communicating_ += seconds; }
  double seconds_communicating() const { return seconds_communicating_; }  ///< of the main thread, so far

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
    struct Communicator {
      std::string name;
      int64_t sequence = 0;  ///< operations come to
    };
    uint64_t beats = 0;
    bool unhurried = false;
    const char* phase = "";
    int layer = -1;                           ///< -1: in none
    int waiting = -1;                         ///< the communicator waited in, or -1: not waiting for other ranks
    std::vector<int> waits_with;              ///< its ranks, of the world
    std::vector<Communicator> communicators;  ///< by id
  };
  Reading read() const {
    Reading r;
    r.beats = beats_;
    r.unhurried = unhurried_;
    r.phase = phase_;
    r.layer = layer_;
    r.waiting = waiting_;
    const std::lock_guard lock(mutex_);
    for (const Communicator& c : communicators_) r.communicators.push_back({c.name, c.sequence});
    if (r.waiting >= 0) r.waits_with = communicators_[static_cast<size_t>(r.waiting)].ranks;
    return r;
  }

 private:
  struct Communicator {
    Communicator(std::string the_name, std::vector<int> the_ranks)
        : name(std::move(the_name)), ranks(std::move(the_ranks)) {}
    const std::string name;
    const std::vector<int> ranks;
    std::atomic<int64_t> sequence{0};
  };

  std::atomic<uint64_t> beats_{0};
  std::atomic<bool> unhurried_{false};
  std::atomic<const char*> phase_{"start"};
  std::atomic<int> layer_{-1}, waiting_{-1};
  mutable std::mutex mutex_;  // for add_communicator() and read() alone: what is there stays in its place
  std::deque<Communicator> communicators_;
  double seconds_communicating_ = 0;  // main thread only
};

/// A communicator's place in the pulse of a watched rank; of any other one it does nothing.
class Watch {
 public:
  Watch() = default;
  Watch(Pulse& pulse, int id) : pulse_(&pulse), id_(id) {}
  void arrive() const {
    if (pulse_ != nullptr) pulse_->arrive(id_);
  }
  void wait() const {
    if (pulse_ != nullptr) pulse_->wait(id_);
  }
  void leave() const {
    if (pulse_ != nullptr) pulse_->leave(id_);
  }
  void communicated(double seconds) const {
    if (pulse_ != nullptr) pulse_->communicated(seconds);
  }

 private:
  Pulse* pulse_ = nullptr;
  int id_ = -1;
};

}  // namespace switchyard
