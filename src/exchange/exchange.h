// Tokens travel to the ranks that host their experts, and the experts' results travel back.
//
//   route -> plan (who needs what; counts first) -> rounds of { dispatch, experts, return } -> combine
//
// Who needs what is a Routing, made once from the chosen experts; rows travel along it in a Flight, as often as wanted.
// Results come back one row per (token, slot) and are summed by the token's owner in slot order, so that the bits
// depend neither on the number of ranks nor on which of them hosts an expert. Two ways: a group of one has all experts
// (exchange/local_exchange.h); else every rank sends to every other one (exchange/flat_exchange.h).
#pragma once

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

/// Seconds of a rank in one layer's exchange. On a device what is given to it counts only as long as the host gives it;
/// what the host then waits for, its own device's computing too, is transfer.
struct ExchangeTimes {
  double useful = 0;    ///< experts computed, for this rank's tokens and for others', also while rows travel
  double wait = 0;      ///< until the last rank has arrived, and for rows that others have not sent yet
  double transfer = 0;  ///< moving counts and rows, as far as it is not hidden behind computing
};

ExchangeTimes sum_of(std::span<const ExchangeTimes> times);

/// Totals since construction; only what crossed between ranks counts as bytes.
struct ExchangeCounters {
  std::vector<int64_t> bytes_to;           ///< [ranks] bytes sent to each rank, dispatch and return together
  std::vector<int64_t> tokens_per_expert;  ///< [layers, experts] (token, slot) assignments, this rank's tokens
  std::vector<ExchangeTimes> times;        ///< [layers]
  int64_t rounds = 0;
  int64_t calls = 0;  ///< flights

  // Of all layers.
  std::vector<int64_t> total_per_expert() const;  ///< [experts]
  ExchangeTimes total_times() const { return sum_of(times); }
};

/// What an exchange's memory depends on; the same on all ranks of the group.
struct ExchangeShape {
  ExpertPlacement placement;
  int num_layers = 1;  ///< counted one by one
  int64_t dim = 0;     ///< elements of a row
  int top_k = 0;
  DType dtype = DType::f32;     ///< of what travels, the experts' operand: results are rounded to it, local ones too
  Device device = Device::cpu;  ///< where it lies: of the streams and tensors given, and the group can send from there
  int64_t exchange_bytes = 0;   ///< budget of the buffers, for sending and receiving, rows and results
};

/// Bytes that a routing and a flight take at most when no rank of the group has more than `max_tokens` tokens: of the
/// arena exactly (as soon as one rank sends that many to another), of the host's bookkeeping at most. max_entries: of
/// the GroupedRows that experts are given at once.
struct ExchangeScratch {
  size_t arena_bytes = 0, host_bytes = 0;
  int64_t max_entries = 0;
};
/// Of a rank that hosts `num_local` experts; never less for more of these.
ExchangeScratch exchange_scratch(const ExchangeShape& shape, int num_local, int64_t max_tokens);

/// Experts on rows: y[output_row] = E_g(x[input_row]) for the local experts g (by local index). The stream given is the
/// flight's, and its poll moves what travels meanwhile. Called once for the local rows and once a round, each time only
/// if there are any.
using Experts = std::function<void(const Stream&, ConstView x, const GroupedRows& rows, View y)>;

/// One way there and back, in steps between which other work may be given to the stream. All ranks of the group take
/// the same steps in the same order, with or without tokens. From begin() to finish() a flight has the exchange for
/// itself.
class Flight {
 public:
  virtual ~Flight() = default;
  /// Starts the rows' journey and computes what is local. From here to finish() polling streams move the rows.
  virtual void begin() = 0;
  /// Moves what travels; for the poll of a stream that other work is given to.
  virtual void poll() = 0;
  /// Computes for other ranks and waits for this rank's results.
  virtual void finish() = 0;
};

/// Who needs what of one layer's tokens. Any number of flights may follow it, one after the other.
class Routing {
 public:
  virtual ~Routing() = default;
  /// x: [tokens, dim] dtype, made by the time of begin(); y: [tokens · k, dim] dtype, row t·k + j = result of slot j.
  /// arena: scratch until the flight's end.
  virtual std::unique_ptr<Flight> flight(const Stream& stream, Arena& arena, ConstView x, Experts experts, View y) = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// expert_of: [tokens, k] i32 made by the stream, a token's experts distinct; it, and what is taken from the arena,
  /// last as long as the routing. layer: whose counters. All ranks of the group make their routings together. The
  /// first flight's begin() finds out what the other ranks need.
  virtual std::unique_ptr<Routing> route(const Stream& stream, Arena& arena, ConstView expert_of, int layer) = 0;

  /// A routing and its flight at once.
  void run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, int layer, const Experts& experts,
           View y);

  /// Of this rank; flights of one exchange take it one after the other.
  ExchangeScratch scratch_bytes(int64_t max_tokens) const { return exchange_scratch(shape_, num_local_, max_tokens); }
  /// See measuring_exchange().
  std::unique_ptr<Exchange> measuring() const;
  /// One row per pair of ranks is the least that can travel; its buffers may exceed the budget.
  virtual int64_t least_exchange_bytes() const = 0;
  bool budget_too_small() const { return shape_.exchange_bytes < least_exchange_bytes(); }

  const ExchangeCounters& counters() const { return counters_; }
  /// Seconds since all ranks were last told what each needs, but for those in which something was under way that this
  /// rank waited for.
  virtual double busy_since_meeting() const { return 0; }
  /// All ranks have met elsewhere, the last of them when it had been busy for so long: what this one, which was there
  /// when it had been busy for `was_busy`, has waited for.
  virtual ExchangeTimes waited_since(double /*was_busy*/, double /*of_last*/) { return {}; }
  /// Brings counters() up to date where a device counts; waits for the stream then.
  virtual void fetch_counters(const Stream& stream) = 0;
  const ExchangeShape& shape() const { return shape_; }
  const ExpertPlacement& placement() const { return shape_.placement; }
  int num_local_experts() const { return num_local_; }

 protected:
  Exchange(const ExchangeShape& shape, int num_local);
  void check_routing(ConstView expert_of, int layer) const;
  void check_flight(ConstView expert_of, ConstView x, View y) const;

  const ExchangeShape shape_;
  const int num_local_;  ///< experts of this rank
  ExchangeCounters counters_;
};

/// Among the ranks of `group`, which outlives it and which the experts are placed on: the same shape on all of them.
std::unique_ptr<Exchange> make_exchange(Communicator& group, const ExchangeShape& shape);

/// For streams that only measure: takes what an exchange of a rank with `num_local` experts takes at most when no rank
/// of the group has more tokens than are given to it, and asks no other rank.
std::unique_ptr<Exchange> measuring_exchange(const ExchangeShape& shape, int num_local);

}  // namespace switchyard
