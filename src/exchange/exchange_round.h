// The two journeys of a round: rows out to the ranks of their experts, results back. Each is started, travels while
// experts compute, and is finished. A notice goes ahead of the rows (exchange/travel.h). A stage has the buffers
// that this overlap needs:
//
//   dispatch i + 1 travels    received ×2 (round i is being read)        send ×1 (round i has arrived)
//   experts of round i write  results ×2 (round i − 1 is travelling)     returned ×1 (round i − 1 ends before i starts)
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "exchange/exchange.h"
#include "exchange/route_plan.h"
#include "exchange/travel.h"

namespace switchyard {

/// Sizes of the buffers of a flight's rounds: the one place for who allocates and who predicts.
struct RoundLayout {
  int num_ranks;
  int64_t dim;
  int top_k;
  int results_per_row;  ///< at most: how many of a token's k experts one rank can host
  DType dtype;
  Device device;
  int64_t rows_per_pair;  ///< rows from one rank to another in one round, at most
  int num_buffers;        ///< 1 for a single round, else 2

  int64_t num_rows() const { return (num_ranks - 1) * rows_per_pair; }
  int64_t num_results() const { return num_rows() * results_per_row; }
  Shape rows() const { return {num_rows(), dim}; }
  Shape results() const { return {num_results(), dim}; }
  size_t buffer_bytes() const;                     ///< of rows and results: what --exchange-bytes bounds
  size_t list_bytes(int num_local_experts) const;  ///< of a round's lists, where ops need them on a device
  size_t host_bytes(int num_local_experts) const;
};

/// Who needs what, as all ranks of the group know it.
struct Routes {
  const ExpertPlacement& placement;
  ConstView expert_of;  ///< on the host
  RoutePlan plan;
  std::vector<int32_t> row_counts;  ///< [ranks, ranks]: rows that rank (first) sends to rank (second)

  Routes(const ExpertPlacement& placement, int rank, ConstView expert_of);
  /// Of all ranks; waits for the last one. note: travels with them. Returns all ranks' notes.
  std::vector<int32_t> exchange_counts(Communicator& group, int32_t note);

  int32_t rows_between(int from, int to) const {
    return row_counts[static_cast<size_t>(from) * static_cast<size_t>(placement.num_ranks()) + static_cast<size_t>(to)];
  }
  int64_t most_rows() const;  ///< between any two ranks
  /// The expert of a (token, slot) by its local index on `rank`; −1 when it lives elsewhere.
  int32_t expert_on(int rank, int32_t token, int slot) const {
    const int expert = expert_of.as<int32_t>()[int64_t{token} * expert_of.shape[1] + slot];
    return placement.rank_of(expert) == rank ? placement.local_index(expert) : -1;
  }
};

/// What the stages of one flight share.
struct Trip {
  Communicator& group;
  const Routes& routes;
  ConstView x;
  View y;
  std::vector<int64_t>& bytes_to;
  ExchangeTimes& times;
  FlightClock& clock;
};

/// Rows to their experts, and with each row its metadata: [k] the receiver's experts for its slots, −1 for those
/// elsewhere.
class Dispatch {
 public:
  Dispatch(const Trip& trip, const RoundLayout& layout, Arena& arena);
  void start(const Stream& stream, int64_t round);
  void poll();
  /// Waits, then describes the round below; valid until the next finish().
  void finish(int64_t round);

  /// Other ranks' rows, by rank, then token.
  ConstView rows() const { return received_rows_; }
  /// Their experts' work: from rows() to results in order of rank, token, slot.
  const OwnedGroupedRows& work() const { return work_; }
  std::span<const int64_t> results_to() const { return results_to_; }  ///< [ranks]
  int64_t num_results() const { return work_.offsets.back(); }

 private:
  int64_t rows_from(int rank, int64_t round) const;
  View metadata(std::vector<int32_t>& numbers, int64_t rows) const;
  void group_by_expert();

  const Trip trip_;
  const RoundLayout layout_;
  Arena& arena_;
  View send_;
  std::vector<View> received_;                              // [num_buffers]
  std::vector<int32_t> send_metadata_, received_metadata_;  // [rows, k]; travel from host to host
  std::vector<int32_t> tokens_;
  std::vector<int64_t> rows_to_, rows_from_, results_to_;  // [ranks]
  ConstView received_rows_;
  OwnedGroupedRows work_;
  Notices notices_;
  Pending pending_notice_;
  std::array<Pending, 2> pending_rows_;  // metadata, rows. Last: they end before what they use
};

/// Results to the tokens' owners.
class Return {
 public:
  Return(const Trip& trip, const RoundLayout& layout, Arena& arena);
  /// Where the experts of a round write.
  View results(int64_t round, int64_t count) const;
  /// After finish() of the round before.
  void start(const Stream& stream, int64_t round, const Dispatch& dispatch);
  void poll();
  /// Waits and puts the results in their rows of y. Nothing when none was started.
  void finish(const Stream& stream);

 private:
  const Trip trip_;
  const RoundLayout layout_;
  Arena& arena_;
  std::vector<View> results_;  // [num_buffers]
  View returned_;
  std::vector<int32_t> y_rows_;
  std::vector<int64_t> results_from_;  // [ranks]
  Notices notices_;
  Pending pending_notice_, pending_results_;  // last: they end before what they use
};

}  // namespace switchyard
