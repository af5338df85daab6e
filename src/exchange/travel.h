// What the exchanges' journeys have in common: what they wait for, what they count, and what fits into their budget.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/stopwatch.h"
#include "comm/communicator.h"
#include "exchange/exchange.h"

namespace switchyard {

inline int64_t total(std::span<const int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

/// For how long a rank has been busy since ranks have met: all of its time but that in which something was under way
/// that it waited for. What a rank waits for while a sender was still busy is waiting, the rest is transfer; so that a
/// link's queues, which the sender's word comes through as well, count as what they are. No clocks are compared, only
/// what has passed since the meeting.
class FlightClock {
 public:
  /// outer: hears of transfer as well.
  explicit FlightClock(FlightClock* outer = nullptr) : outer_(outer) {}
  double busy() const { return seconds_now() - met_ - transferred_; }
  /// Since it was so busy it has waited for what others sent; the last of these had been busy for `of_senders` then.
  void waited(double was_busy, double of_senders, ExchangeTimes& times) {
    const double seconds = busy() - was_busy, waiting = std::clamp(of_senders - was_busy, 0.0, seconds);
    times.wait += waiting;
    times.transfer += seconds - waiting;
    add_transfer(seconds - waiting);
  }

 private:
  void add_transfer(double seconds) {
    transferred_ += seconds;
    if (outer_ != nullptr) outer_->add_transfer(seconds);
  }

  FlightClock* outer_;
  double met_ = seconds_now();
  double transferred_ = 0;
};

inline constexpr int32_t kMostMicroseconds = 2'000'000'000;
inline int32_t in_microseconds(double seconds) {
  return static_cast<int32_t>(std::clamp(1e6 * seconds, 0.0, double{kMostMicroseconds}));
}
/// The most of them; of what is too long to be told, for ever.
inline double longest_of(std::span<const int32_t> microseconds) {
  const int32_t most = std::ranges::max(microseconds);
  return most < kMostMicroseconds ? 1e-6 * most : std::numeric_limits<double>::infinity();
}

/// Ranks meet to tell each other how many rows each will send, and wait for the last one. With that travels for how
/// long each has been busy since the meeting before: a rank has waited for as long as the last one was busy beyond it;
/// what is left was a journey, of this or of what the last one itself had to wait for.
class Meetings {
 public:
  /// This rank is there. Returns what it is to tell all.
  int32_t arrive() {
    was_busy_ = clock_.busy();
    return in_microseconds(was_busy_);
  }
  /// All are. of_all: [ranks] what they have told; times: of what they met for.
  void met(std::span<const int32_t> of_all, ExchangeTimes& times) {
    // Before the first one they began when they liked: all of it is waiting.
    const bool is_first = !std::exchange(have_met_, true);
    clock_.waited(was_busy_, is_first ? std::numeric_limits<double>::infinity() : longest_of(of_all), times);
    clock_ = FlightClock();
  }
  double busy() const { return clock_.busy(); }  ///< since the last one
  /// See Exchange::waited_since().
  ExchangeTimes waited_since(double was_busy, double of_last) {
    ExchangeTimes times;
    clock_.waited(was_busy, of_last, times);
    return times;
  }
  /// Of a flight that begins with the last meeting; this outlives it.
  FlightClock flight() { return FlightClock(&clock_); }

 private:
  bool have_met_ = false;
  double was_busy_ = 0;
  FlightClock clock_;
};

/// A flight's way there and back, as far as nothing is computed meanwhile. bytes: that a rank sends; size: bytes, ranks
inline Work work_of_travel(double bytes, int num_ranks) {
  return {.name = "exchange", .amount = bytes, .size = {bytes, static_cast<double>(num_ranks)}};
}

/// A small message to every rank that is sent rows: for how long the sender has been busy.
class Notices {
 public:
  explicit Notices(int num_ranks)
      : microseconds_(2 * static_cast<size_t>(num_ranks)), to_(static_cast<size_t>(num_ranks)), from_(to_.size()) {}
  static size_t bytes(int num_ranks) {
    return 2 * static_cast<size_t>(num_ranks) * (sizeof(int32_t) + sizeof(int64_t));
  }

  /// rows_to, rows_from: [ranks] of what follows. The one before has ended.
  Pending send(Communicator& group, const Stream& stream, std::span<const int64_t> rows_to,
               std::span<const int64_t> rows_from, const FlightClock& clock) {
    const auto is_any = [](int64_t rows) { return int64_t{rows > 0}; };
    std::ranges::transform(rows_to, to_.begin(), is_any);
    std::ranges::transform(rows_from, from_.begin(), is_any);
    std::ranges::fill(microseconds_, in_microseconds(clock.busy()));
    const int64_t num_ranks = std::ssize(to_);
    const View all{microseconds_.data(), {2 * num_ranks, 1}, DType::i32, Device::cpu};
    return group.start_all_to_all_v(stream, all.slice(0, total(to_)), to_, all.slice(num_ranks, total(from_)), from_);
  }
  /// Seconds, the most of those who sent; 0: nobody did.
  double busy_of_senders() const {
    const auto received = std::span(microseconds_).subspan(to_.size(), static_cast<size_t>(total(from_)));
    return received.empty() ? 0 : longest_of(received);
  }

 private:
  std::vector<int32_t> microseconds_;  // [2 · ranks] to and from each
  std::vector<int64_t> to_, from_;     // [ranks] 1 where there are rows
};

/// Waits for a notice and for the rows behind it.
inline void wait_for(Pending& notice, std::span<Pending> rows, const Notices& notices, FlightClock& clock,
                     ExchangeTimes& times) {
  const double was_busy = clock.busy();
  notice.wait();
  for (Pending& pending : rows) pending.wait();
  clock.waited(was_busy, notices.busy_of_senders(), times);
}

inline void count_bytes(std::span<const int64_t> rows_to, size_t row_bytes, std::vector<int64_t>& bytes_to) {
  for (size_t r = 0; r < rows_to.size(); ++r) bytes_to[r] += rows_to[r] * static_cast<int64_t>(row_bytes);
}

/// The largest number of rows, below 2^31, of which fits(n) is true; it is of all smaller ones. 0: of none.
template <class Fits>
int64_t largest_fitting(const Fits& fits) {
  int64_t rows = 0;
  for (int64_t step = int64_t{1} << 30; step > 0; step /= 2)
    if (fits(rows + step)) rows += step;
  return rows;
}

}  // namespace switchyard
