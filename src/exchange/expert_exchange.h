// Tokens travel to the ranks that host their experts, and the experts' results travel back.
//
//   route -> plan (who needs what; counts first) -> rounds of { dispatch, experts, return } -> combine
//
// A token's row goes to each destination rank once, however many of its experts live there; results come back one row
// per (token, slot) and are summed by the token's owner in slot order, so that the bits do not depend on the number of
// ranks. Rounds bound the memory: all buffers of a call together take at most `exchange_bytes`. What is local is
// computed while the first round travels, each round while the next one does (comm/exchange_round.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/device.h"
#include "comm/communicator.h"
#include "exchange/placement.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard {

struct RoundLayout;
struct RoutePlan;

/// Totals since construction; only what crossed between ranks counts as bytes.
struct ExchangeCounters {
  std::vector<int64_t> bytes_to;           ///< [ranks] bytes sent to each rank, dispatch and return together
  std::vector<int64_t> tokens_per_expert;  ///< [experts] (token, slot) assignments, this rank's tokens
  double wait_seconds = 0;                 ///< until the last rank arrived (counts exchange)
  double transfer_seconds = 0;             ///< in transfers not hidden behind computing
  int64_t rounds = 0;
  int64_t calls = 0;
};

/// What an exchange's memory depends on.
struct ExchangeShape {
  ExpertPlacement placement;
  int64_t dim = 0;  ///< elements of a row
  int top_k = 0;
  DType dtype = DType::f32;     ///< of what travels
  Device device = Device::cpu;  ///< where it lies
  int64_t exchange_bytes = 0;   ///< budget
};

/// Bytes that ExpertExchange::run() can take when no rank of the group has more than `max_tokens` tokens: of the arena
/// exactly (as soon as one rank sends that many to another), of the host's bookkeeping at most. max_entries: of the
/// GroupedRows that experts are given at once.
struct ExchangeScratch {
  size_t arena_bytes = 0, host_bytes = 0;
  int64_t max_entries = 0;
};
ExchangeScratch exchange_scratch(const ExchangeShape& shape, int rank, int64_t max_tokens);

class ExpertExchange {
 public:
  /// dim: elements of a row; dtype: what travels, the operand type of the experts (results are rounded to it, local
  /// ones too). exchange_bytes bounds the buffers, for sending and receiving, rows and results; see budget_too_small().
  /// device: of the streams and tensors given to run(); the group must be able to send from there.
  /// The same arguments on all ranks of the group.
  ExpertExchange(Communicator& group, ExpertPlacement placement, int64_t dim, int top_k, DType dtype,
                 int64_t exchange_bytes, Device device = Device::cpu);

  /// Experts on rows: y[output_row] = E_g(x[input_row]) for the local experts g (0-based on this rank). The stream
  /// given is run()'s, and its poll moves what travels meanwhile. Called once for the local rows and once a round, each
  /// time only if there are any.
  using Experts = std::function<void(const Stream&, ConstView x, const GroupedRows& rows, View y)>;

  /// One way there and back, in steps between which other work may be given to the stream. All ranks of the group take
  /// the same steps in the same order, with or without tokens. From begin() to finish() a flight has the exchange for
  /// itself.
  /// x: [tokens, dim] dtype; expert_of: [tokens, k] i32, a token's experts distinct; y: [tokens · k, dim] dtype, row
  /// t·k + j = result of slot j. arena: scratch, at most scratch_bytes(max tokens) of it, until the flight's end.
  class Flight;

  /// A whole flight at once.
  void run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, const Experts& experts, View y);

  ExchangeScratch scratch_bytes(int64_t max_tokens) const {
    return exchange_scratch(shape_, group_.rank(), max_tokens);
  }

  /// Rows each pair of ranks may exchange per round under the budget (at least one).
  int64_t rows_per_round() const { return rows_per_round_; }
  /// One row per pair of ranks is the least that can travel; its buffers may exceed the budget.
  bool budget_too_small() const { return shape_.exchange_bytes < least_exchange_bytes(); }
  int64_t least_exchange_bytes() const;
  const ExchangeCounters& counters() const { return counters_; }
  /// Brings counters() up to date where a device counts (tokens_per_expert of a group of one); waits for the stream.
  void fetch_counters(const Stream& stream);
  const ExpertPlacement& placement() const { return shape_.placement; }

 private:
  View total_per_expert(const Stream& stream);
  std::vector<int32_t> exchange_counts(const RoutePlan& plan);
  void check_shapes(ConstView x, ConstView expert_of, View y) const;

  Communicator& group_;
  const ExchangeShape shape_;
  int64_t rows_per_round_ = 1;
  ExchangeCounters counters_;
  OwnedTensor device_counts_;         ///< [experts] i64: of a group of one on a device, until fetch_counters()
  std::array<HostMirror, 2> chosen_;  ///< expert_of of the flight under way, and of one that has not begun
  size_t num_flights_ = 0;
};

class ExpertExchange::Flight {
 public:
  /// expert_of is made by the stream, x by the time of begin().
  Flight(ExpertExchange& exchange, const Stream& stream, Arena& arena, ConstView x, ConstView expert_of,
         Experts experts, View y);
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  /// Starts the rows' journey and computes what is local. From here to finish() polling streams move the rows.
  void begin();
  /// Moves what travels; for the poll of a stream that other work is given to.
  void poll();
  /// Computes for other ranks and waits for this rank's results.
  void finish();

 private:
  struct Journey;
  void begin_alone();
  bool alone() const { return exchange_.group_.size() == 1; }

  ExpertExchange& exchange_;
  const Stream stream_;
  Arena& arena_;
  const ArenaScope scope_;
  ConstView x_, expert_of_;
  const Experts experts_;
  View y_;
  HostMirror& chosen_;
  std::unique_ptr<Journey> journey_;
};

}  // namespace switchyard
