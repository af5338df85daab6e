// What the exchanges' journeys have in common: what they wait for, what they count, and what fits into their budget.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/stopwatch.h"
#include "comm/communicator.h"
#include "exchange/exchange.h"

namespace switchyard {

/// Waits for a small message that goes ahead of rows, then for these: what is waited for until the first is there is
/// that others have not sent yet, from then on it is the transfer.
inline void wait_for(Pending& ahead, std::span<Pending> rows, ExchangeTimes& times) {
  {
    const Stopwatch stopwatch(times.wait);
    ahead.wait();
  }
  const Stopwatch stopwatch(times.transfer);
  for (Pending& pending : rows) pending.wait();
}

/// A flight's way there and back, as far as nothing is computed meanwhile. bytes: that a rank sends; size: bytes, ranks
inline Work work_of_travel(double bytes, int num_ranks) {
  return {.name = "exchange", .amount = bytes, .size = {bytes, static_cast<double>(num_ranks)}};
}

inline int64_t total(std::span<const int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

/// A small message to every rank that is sent rows, ahead of these.
class Notices {
 public:
  explicit Notices(int num_ranks)
      : numbers_(2 * static_cast<size_t>(num_ranks)), to_(static_cast<size_t>(num_ranks)), from_(to_.size()) {}
  static size_t bytes(int num_ranks) {
    return 2 * static_cast<size_t>(num_ranks) * (sizeof(int32_t) + sizeof(int64_t));
  }

  /// rows_to, rows_from: [ranks] of what follows. The one before has ended.
  Pending send(Communicator& group, const Stream& stream, std::span<const int64_t> rows_to,
               std::span<const int64_t> rows_from) {
    const auto is_any = [](int64_t rows) { return int64_t{rows > 0}; };
    std::ranges::transform(rows_to, to_.begin(), is_any);
    std::ranges::transform(rows_from, from_.begin(), is_any);
    const int64_t num_ranks = std::ssize(to_);
    const View all{numbers_.data(), {2 * num_ranks, 1}, DType::i32, Device::cpu};
    return group.start_all_to_all_v(stream, all.slice(0, total(to_)), to_, all.slice(num_ranks, total(from_)), from_);
  }

 private:
  std::vector<int32_t> numbers_;    // [2 · ranks] to and from each
  std::vector<int64_t> to_, from_;  // [ranks] 1 where there are rows
};

/// Ranks that meet, each waiting for the last one. Whoever comes last waits for nobody: what the meeting takes it is
/// the journey of what they tell each other. So the least that a rank has spent there is everybody's transfer, and what
/// is beyond it waiting. How long it was for each rank is told at the next meeting; until then all of it counts as
/// waiting, as it does in the last one.
class Meetings {
 public:
  /// Of this rank at the last meeting: goes to all ranks with the next one.
  int32_t microseconds() const { return microseconds_; }
  /// The next one has taken this rank `seconds`; of_last: [ranks] microseconds() of all. times: of what they met for.
  void met(double seconds, std::span<const int32_t> of_last, ExchangeTimes& times) {
    if (times_ != nullptr) {
      const double journey = 1e-6 * std::ranges::min(of_last);
      times_->wait -= journey;
      times_->transfer += journey;
    }
    times_ = &times;
    times.wait += seconds;
    microseconds_ = static_cast<int32_t>(std::min(1e6 * seconds, 2e9));
  }

 private:
  int32_t microseconds_ = 0;
  ExchangeTimes* times_ = nullptr;
};

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
