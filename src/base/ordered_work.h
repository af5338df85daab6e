// A stream of items: made one after the other, worked on by several threads at once, taken one after the other in the
// order in which they were made.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/thread.h"

namespace switchyard {

/// What the threads of in_order() share.
template <class Item>
class OrderedWork {
 public:
  OrderedWork(int num_threads, const std::function<bool(Item&)>& make, const std::function<void(Item&)>& work,
              const std::function<void(Item&)>& take)
      : most_(2 * static_cast<size_t>(num_threads)), make_(make), work_(work), take_(take) {}

  /// Goes on until all is done; only the caller's thread takes.
  void run(bool takes) {
    std::unique_lock lock(mutex_);
    try {
      while (!failure_ && !(ended_ && in_flight_ == 0)) {
        if (takes && done_.contains(next_taken_))
          take_one(lock);
        else if (!ended_ && !making_ && in_flight_ < most_)
          make_one(lock);
        else
          changed_.wait(lock);
      }
    } catch (...) {
      if (lock.owns_lock()) lock.unlock();
      stop(std::current_exception());
    }
  }

  void stop(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
    changed_.notify_all();
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void make_one(std::unique_lock<std::mutex>& lock) {
    making_ = true;
    const uint64_t number = next_made_;
    lock.unlock();
    Item item;
    const bool made = make_(item);
    lock.lock();
    making_ = false;
    ended_ = ended_ || !made;
    changed_.notify_all();
    if (!made) return;
    ++next_made_;
    ++in_flight_;
    lock.unlock();
    work_(item);
    lock.lock();
    done_.emplace(number, std::move(item));
    changed_.notify_all();
  }

  void take_one(std::unique_lock<std::mutex>& lock) {
    Item item = std::move(done_.extract(next_taken_).mapped());
    lock.unlock();
    take_(item);
    lock.lock();
    ++next_taken_;
    --in_flight_;
    changed_.notify_all();
  }

  const size_t most_;
  const std::function<bool(Item&)>& make_;
  const std::function<void(Item&)>& work_;
  const std::function<void(Item&)>& take_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Item> done_;  ///< worked on, not taken yet
  uint64_t next_made_ = 0, next_taken_ = 0;
  size_t in_flight_ = 0;
  bool making_ = false, ended_ = false;
  std::exception_ptr failure_;
};

/// `make` fills an item, or returns false: there are no more. Neither `make` nor `take` is ever in two threads at once;
/// `take` is always in the caller's. At most two items a thread are there at a time. The first exception ends all of
/// it, and is thrown here. `purpose`: what the threads are for.
template <class Item>
void in_order(int num_threads, std::string_view purpose, const std::function<bool(Item&)>& make,
              const std::function<void(Item&)>& work, const std::function<void(Item&)>& take) {
  OrderedWork<Item> shared(num_threads, make, work, take);
  std::vector<std::thread> threads;
  try {
    for (int i = 1; i < num_threads; ++i) threads.push_back(start_thread(purpose, [&] { shared.run(false); }));
    shared.run(true);
  } catch (...) {
    shared.stop(std::current_exception());
  }
  for (std::thread& thread : threads) thread.join();
  shared.rethrow();
}

}  // namespace switchyard
